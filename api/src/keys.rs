//! The secrets of RAC, made at first start and kept in RAC_HOME/keys.

use std::fmt::Write as _;

use aws_lc_rs::rand;
use rac_seal::{Keyring, SealError};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use subtle::ConstantTimeEq as _;

use crate::config::SecretsKey;
use crate::home::{Home, HomeError};

/// The file that the registry trusts tokens by.
pub(crate) const CERTIFICATE: &str = "keys/token.crt";
/// The file with the keys of [`Keys::secrets`], where nothing else is said.
const SECRETS: &str = "keys/secrets.key";

/// Everything that proves who is who. It has no `Debug`, so that no log line holds a secret.
pub struct Keys {
    /// The ES256 key that signs tokens, in PEM (PKCS #8).
    pub token_key: String,
    /// The certificate of that key, in DER.
    pub token_certificate: Vec<u8>,
    /// What the registry shows to the API.
    pub hook: Secret,
    /// What an edge shows to the API, and the API to an edge.
    pub node: Secret,
    /// What people's secrets are sealed with in the database.
    pub secrets: Keyring,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// They cannot be read or written.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// They cannot be made.
    #[error("could not make a key")]
    Make(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file holds something else.
    #[error("{0} is damaged: restore it, or remove it and restart the registry and the API")]
    Damaged(&'static str),
    /// The keys for people's secrets are none.
    #[error("could not use the keys for secrets in {place}")]
    Secrets {
        /// Where they were looked for.
        place: String,
        /// What is wrong with them.
        source: SealError,
    },
    /// The file that a setting names cannot be read.
    #[error("could not read {place}")]
    SecretsFile {
        /// The file.
        place: String,
        /// The cause.
        source: std::io::Error,
    },
}

impl Keys {
    /// Reads the keys, and makes those that are missing. Those for people's secrets come from where
    /// `secrets` says, and may then live outside of what is backed up with the database.
    ///
    /// # Errors
    /// A file cannot be read or written, or is damaged.
    pub fn open(home: &Home, secrets: &SecretsKey) -> Result<Self, KeysError> {
        let token_key = match home.read("keys/token.key")? {
            Some(key) => key,
            None => make_key(home)?,
        };
        let pair =
            KeyPair::from_pem(&token_key).map_err(|_| KeysError::Damaged("keys/token.key"))?;
        let certificate = match home.read(CERTIFICATE)? {
            Some(certificate) => certificate,
            None => make_certificate(home, &pair)?,
        };
        Ok(Self {
            token_key,
            token_certificate: der(&certificate).ok_or(KeysError::Damaged(CERTIFICATE))?,
            hook: Secret::open(home, "keys/hook.secret")?,
            node: Secret::open(home, "keys/node.secret")?,
            secrets: open_secrets(home, secrets)?,
        })
    }
}

fn open_secrets(home: &Home, from: &SecretsKey) -> Result<Keyring, KeysError> {
    let (place, keys) = match from {
        SecretsKey::Value(keys) => ("RAC_SECRETS_KEY".to_owned(), keys.clone()),
        SecretsKey::File(path) => {
            let place = path.display().to_string();
            match std::fs::read_to_string(path) {
                Ok(keys) => (place, keys),
                Err(source) => return Err(KeysError::SecretsFile { place, source }),
            }
        }
        SecretsKey::Home => (SECRETS.to_owned(), home_secrets(home)?),
    };
    Keyring::parse(&keys).map_err(|source| KeysError::Secrets { place, source })
}

fn home_secrets(home: &Home) -> Result<String, KeysError> {
    if let Some(keys) = home.read(SECRETS)? {
        return Ok(keys);
    }
    let key = Keyring::generate().map_err(|error| KeysError::Make(error.into()))? + "\n";
    home.write_private(SECRETS, key.as_bytes())?;
    Ok(key)
}

fn make_key(home: &Home) -> Result<String, KeysError> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|error| KeysError::Make(error.into()))?;
    let key = pair.serialize_pem();
    home.write_private("keys/token.key", key.as_bytes())?;
    Ok(key)
}

/// The certificate never ends (rcgen's own choice is the year 4096): it only carries the public
/// key to the registry, and an end would be an outage that nobody remembers planning.
fn make_certificate(home: &Home, pair: &KeyPair) -> Result<String, KeysError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "rac");
    let made = params.self_signed(pair).map_err(|error| KeysError::Make(error.into()))?;
    let certificate = made.pem();
    home.write_private(CERTIFICATE, certificate.as_bytes())?;
    Ok(certificate)
}

/// The first certificate in a PEM file.
fn der(pem: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(body).ok()
}

/// 32 random bytes, written as 64 hexadecimal digits.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    fn open(home: &Home, name: &'static str) -> Result<Self, KeysError> {
        let secret = match home.read(name)? {
            Some(secret) => secret.trim().to_owned(),
            None => {
                let secret = random_hex(32)?;
                home.write_private(name, secret.as_bytes())?;
                secret
            }
        };
        // A short secret could be guessed, so it is no secret.
        let well_formed = secret.len() == 64 && secret.bytes().all(|c| c.is_ascii_hexdigit());
        well_formed.then_some(Self(secret)).ok_or(KeysError::Damaged(name))
    }

    /// Whether `given` is this secret, in a time that tells nothing of it.
    pub fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// The secret itself, to be shown to whom it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// `count` random bytes, in hexadecimal digits.
pub(crate) fn random_hex(count: usize) -> Result<String, KeysError> {
    let mut bytes = vec![0; count];
    rand::fill(&mut bytes).map_err(|error| KeysError::Make(error.into()))?;
    let mut hex = String::with_capacity(2 * count);
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}
