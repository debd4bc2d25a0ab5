//! Argon2id in memory that is used again.
//!
//! A hash takes 19 MiB. Left to the allocator, each thread that ever made one keeps as much (measured:
//! 640 MB after 66 hashes, two at a time), so whoever makes hashes brings the memory along.

use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::secret;
use crate::problem::ApiError;

/// RFC 9106 by way of OWASP: 19 MiB, twice over, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The bytes of a salt and of a hash.
const SALT: usize = 16;
const HASH: usize = 32;
/// What a password is checked against where there is none, so that nobody learns from the time
/// which accounts there are. No password is known that hashes to zeros.
pub(super) const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ibw\
                                  $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Room for one hash at a time.
pub(super) type Memory = Vec<Block>;

/// A hash of `password` in PHC form.
pub(super) fn hash(password: &str, memory: &mut Memory) -> Result<String, ApiError> {
    let (mut salt, mut hash) = ([0; SALT], [0; HASH]);
    secret::fill(&mut salt)?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH)).map_err(|_| ApiError::Bug)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    fill(&argon2, password, &salt, &mut hash, memory).ok_or(ApiError::Bug)?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}"))
}

/// Whether `password` has the hash `stored`, by the costs that it was made with.
pub(super) fn is(password: &str, stored: &str, memory: &mut Memory) -> Option<bool> {
    let stored = PasswordHash::new(stored).ok()?;
    let (salt, expected) = (stored.salt.as_ref()?, stored.hash.as_ref()?);
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = Version::try_from(stored.version?).ok()?;
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&stored).ok()?);
    let mut hash = vec![0; expected.len()];
    fill(&argon2, password, salt.as_ref(), &mut hash, memory)?;
    Some(hash.ct_eq(expected.as_bytes()).into())
}

fn fill(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    hash: &mut [u8],
    memory: &mut Memory,
) -> Option<()> {
    let blocks = argon2.params().block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let memory = memory.get_mut(..blocks)?;
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, hash, memory).ok()
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier as _;

    use super::*;

    #[test]
    fn a_hash_is_what_others_make_of_it() {
        let mut memory = Memory::new();
        let stored = hash("correct horse", &mut memory).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let others = Argon2::default();
        assert!(others.verify_password(b"correct horse", stored.as_str()).is_ok());
        assert!(others.verify_password(b"correct horsf", stored.as_str()).is_err());
        assert_ne!(hash("correct horse", &mut memory).unwrap(), stored);
        // The memory holds what the last hash left in it.
        for _ in 0..2 {
            assert_eq!(is("correct horse", &stored, &mut memory), Some(true));
            assert_eq!(is("correct horsf", &stored, &mut memory), Some(false));
        }
        for bad in ["", "plain", "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ibw"] {
            assert_eq!(is("plain", bad, &mut memory), None, "{bad:?}");
        }
    }

    #[test]
    fn nobodys_hash_costs_as_much_as_anybodys() {
        let cost = |hash: &str| {
            let hash = PasswordHash::new(hash).unwrap();
            let length = hash.hash.unwrap().len();
            (hash.algorithm.to_string(), hash.version, hash.params.to_string(), length)
        };
        let mut memory = Memory::new();
        assert_eq!(cost(NOBODYS), cost(&hash("correct horse", &mut memory).unwrap()));
        assert_eq!(is("", NOBODYS, &mut memory), Some(false), "it can be checked against");
    }
}
