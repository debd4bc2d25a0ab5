//! JSON web tokens with anything in them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

/// An ES256 key with a certificate.
pub(crate) struct Forger {
    pub(crate) pair: KeyPair,
    pub(crate) certificate: Vec<u8>,
}

impl Forger {
    /// A key of a stranger's own.
    pub(crate) fn stranger() -> Self {
        let pair = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&pair).unwrap().der().to_vec();
        Self { pair, certificate }
    }

    /// RAC's own key.
    pub(crate) fn rac(key: &str, certificate: &str) -> Self {
        let body: String = certificate.lines().filter(|line| !line.starts_with("-----")).collect();
        let certificate = STANDARD.decode(body).unwrap();
        Self { pair: KeyPair::from_pem(key).unwrap(), certificate }
    }

    pub(crate) fn x5c(&self) -> Value {
        STANDARD.encode(&self.certificate).into()
    }

    /// The header that RAC writes.
    pub(crate) fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": "ES256", "x5c": [self.x5c()] })
    }

    /// The public key in a header.
    pub(crate) fn jwk(&self) -> Value {
        let point = self.pair.public_key_raw();
        let coordinate = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "x": coordinate(1..33), "y": coordinate(33..65),
            "kid": self.kid() })
    }

    /// The name that Distribution 2.8 gives to the key: 240 bits of a hash, in base 32.
    pub(crate) fn kid(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.pair.subject_public_key_info());
        let letters: Vec<u8> = base32(&hash.as_ref()[..30]);
        let groups: Vec<&str> =
            letters.chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
        groups.join(":")
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_as(&ECDSA_P256_SHA256_FIXED_SIGNING, header, claims)
    }

    /// With the signature in another form than JSON web tokens have it.
    pub(crate) fn sign_in_der(&self, header: &Value, claims: &Value) -> String {
        self.sign_as(&ECDSA_P256_SHA256_ASN1_SIGNING, header, claims)
    }

    fn sign_as(
        &self,
        algorithm: &'static EcdsaSigningAlgorithm,
        header: &Value,
        claims: &Value,
    ) -> String {
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &self.pair.serialize_der()).unwrap();
        let signed = unsigned(header, claims);
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// With a secret that everybody knows.
pub(crate) fn sign_hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let signed = unsigned(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// What a token claims.
pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

/// A part of a token.
pub(crate) fn part(token: &str, which: usize) -> Value {
    let part = token.split('.').nth(which).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn base32(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let value =
        |bits: &[u8]| bits.iter().fold(0_usize, |value, bit| value << 1 | usize::from(*bit));
    bits.chunks(5).map(|bits| LETTERS[value(bits)]).collect()
}
