//! Secrets that RAC makes up: random, long, and stored as their hash only.
//!
//! They cannot be guessed, so a fast hash is enough: it keeps whoever reads the database from using
//! what stands in it.

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::problem::ApiError;

/// 256 random bits as 43 characters that fit everywhere.
pub(crate) fn random() -> Result<String, ApiError> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What the database holds of a secret.
pub(crate) fn hash(secret: &str) -> String {
    let digest = digest::digest(&digest::SHA256, secret.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

pub(super) fn fill(bytes: &mut [u8]) -> Result<(), ApiError> {
    rand::fill(bytes).map_err(|_| ApiError::Bug)
}
