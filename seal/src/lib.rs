//! Secrets at rest and between the API and its nodes: sealed with AES-256-GCM (NIST SP 800-38D).
//!
//! A sealed text is `<key id>.<base64url of nonce and ciphertext>`. What it belongs to (the row, the
//! route) is sealed in as associated data, so that one cannot be put in another's place. A
//! [`Keyring`] seals with its first key and opens with any, which is how keys are rotated.
//!
//! No type here has `Debug`, so that no log line holds a key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use aws_lc_rs::{digest, hkdf, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The bytes of a key.
const KEY_LENGTH: usize = 32;
/// The bytes of a nonce (96 bits, random: good for 2^32 texts under one key).
const NONCE_LENGTH: usize = 12;

/// Why a key or a sealed text is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no key, or one is not 32 bytes in base64.
    #[error("a key file holds one key a line, each 32 bytes in base64")]
    BadKey,
    /// The text is sealed with a key that is not there.
    #[error("sealed with the key {0:?}, which is not in the key file: put it back")]
    UnknownKey(KeyId),
    /// The text is none, was changed, or belongs to something else.
    #[error("the sealed text is damaged, or belongs to something else")]
    Damaged,
    /// The library fails.
    #[error("could not encrypt")]
    Library,
}

/// Which key: the first 8 hexadecimal digits of its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

struct Key {
    id: KeyId,
    key: RandomizedNonceKey,
}

impl Key {
    fn new(bytes: &[u8]) -> Result<Self, SealError> {
        let digest = digest::digest(&digest::SHA256, bytes);
        let mut id = [0; 8];
        for (pair, byte) in id.chunks_exact_mut(2).zip(digest.as_ref()) {
            pair.copy_from_slice(format!("{byte:02x}").as_bytes());
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| SealError::BadKey)?;
        Ok(Self { id: KeyId(id), key })
    }
}

/// One or more keys; the first one seals.
pub struct Keyring {
    first: Key,
    others: Vec<Key>,
}

impl Keyring {
    /// The keys of a text with one key a line, each 32 bytes in base64 (URL-safe, no padding).
    ///
    /// # Errors
    /// There is none, or a line is none.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let read = |line: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(line).map_err(|_| SealError::BadKey)?;
            Key::new(&bytes)
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut keys = lines.map(read);
        let first = keys.next().ok_or(SealError::BadKey)??;
        Ok(Self { first, others: keys.collect::<Result<_, _>>()? })
    }

    /// One key made of a secret (HKDF-SHA-256, RFC 5869), for one `purpose` only.
    ///
    /// # Errors
    /// The library fails.
    pub fn derive(secret: &[u8], purpose: &str) -> Result<Self, SealError> {
        struct Length;
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                KEY_LENGTH
            }
        }
        let mut bytes = [0; KEY_LENGTH];
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"rac").extract(secret);
        key.expand(&[purpose.as_bytes()], Length)
            .and_then(|derived| derived.fill(&mut bytes))
            .map_err(|_| SealError::Library)?;
        Ok(Self { first: Key::new(&bytes)?, others: Vec::new() })
    }

    /// A new key, as a line of a key file.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<String, SealError> {
        let mut bytes = [0; KEY_LENGTH];
        rand::fill(&mut bytes).map_err(|_| SealError::Library)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The id of the key that seals.
    pub fn current(&self) -> KeyId {
        self.first.id
    }

    /// Seals `text` for what `belongs_to` names.
    ///
    /// # Errors
    /// The library fails.
    pub fn seal(&self, belongs_to: &str, text: &str) -> Result<String, SealError> {
        let mut sealed = text.as_bytes().to_vec();
        let nonce = self.first.key.seal_in_place_append_tag(Aad::from(belongs_to), &mut sealed);
        let nonce = nonce.map_err(|_| SealError::Library)?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut sealed);
        Ok(format!("{}.{}", self.first.id.as_str(), URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Opens what was sealed for the same `belongs_to`.
    ///
    /// # Errors
    /// The key is not there, or the text is not what was sealed.
    pub fn open(&self, belongs_to: &str, sealed: &str) -> Result<String, SealError> {
        let (id, text) = sealed.split_once('.').ok_or(SealError::Damaged)?;
        let id = KeyId(id.as_bytes().try_into().map_err(|_| SealError::Damaged)?);
        let mut keys = std::iter::once(&self.first).chain(&self.others);
        let key = keys.find(|key| key.id == id).ok_or(SealError::UnknownKey(id))?;
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Damaged)?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LENGTH).ok_or(SealError::Damaged)?;
        let nonce = aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce)
            .map_err(|_| SealError::Damaged)?;
        let opened = key.key.open_in_place(nonce, Aad::from(belongs_to), sealed);
        let opened = opened.map_err(|_| SealError::Damaged)?;
        String::from_utf8(opened.to_vec()).map_err(|_| SealError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_what_it_belongs_to_only() {
        let keys = Keyring::parse(&Keyring::generate().unwrap()).unwrap();
        let sealed = keys.seal("shop/KEY", "canary").unwrap();
        assert!(!sealed.contains("canary"));
        assert_eq!(keys.open("shop/KEY", &sealed).unwrap(), "canary");
        assert_eq!(keys.open("other/KEY", &sealed), Err(SealError::Damaged));
        assert_ne!(keys.seal("shop/KEY", "canary").unwrap(), sealed, "a nonce is used once");
    }

    #[test]
    fn a_key_that_was_replaced_still_opens() {
        let (old, new) = (Keyring::generate().unwrap(), Keyring::generate().unwrap());
        let sealed = Keyring::parse(&old).unwrap().seal("x", "text").unwrap();
        let both = Keyring::parse(&format!("{new}\n{old}\n")).unwrap();
        assert_eq!(both.open("x", &sealed).unwrap(), "text");
        assert!(both.seal("x", "text").unwrap().starts_with(both.current().as_str()));
        let alone = Keyring::parse(&new).unwrap();
        assert!(matches!(alone.open("x", &sealed), Err(SealError::UnknownKey(_))));
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let keys = Keyring::derive(b"secret", "test").unwrap();
        let sealed = keys.seal("x", "text").unwrap();
        let mut changed = sealed.clone();
        let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
        changed.insert(changed.len() - 1, last);
        for bad in [changed.as_str(), "", "x", "12345678.", "12345678.AAAA"] {
            assert!(keys.open("x", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn one_secret_makes_different_keys_for_different_purposes() {
        let sealed = Keyring::derive(b"secret", "a").unwrap().seal("x", "text").unwrap();
        assert_eq!(Keyring::derive(b"secret", "a").unwrap().open("x", &sealed).unwrap(), "text");
        assert!(Keyring::derive(b"secret", "b").unwrap().open("x", &sealed).is_err());
    }

    #[test]
    fn a_key_file_without_a_key_is_refused() {
        for bad in ["", "\n", "short", &URL_SAFE_NO_PAD.encode([0; 31])] {
            assert!(matches!(Keyring::parse(bad), Err(SealError::BadKey)), "{bad:?}");
        }
    }
}
