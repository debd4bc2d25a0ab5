//! Passwords: hashed with Argon2id, a few at a time.
//!
//! A hash takes 19 MiB and tens of milliseconds on purpose. Two are made at once and some wait in
//! line; who comes after those is told to try again, so that many log-ins at once take neither the
//! memory nor the processor from everybody else.

use std::sync::Arc;

use rac_model::UserName;
use tokio::time::Instant;

use super::argon::{self, NOBODYS};
use super::line::Line;
use super::remembered::Remembered;
use super::token;
use crate::db::accounts::PasswordHash;
use crate::problem::ApiError;

/// Of characters.
const SHORTEST: usize = 8;
const LONGEST: usize = 256;
/// The most bytes that are looked at: four for each character.
const MOST_BYTES: usize = 4 * LONGEST;

/// Checks passwords, and makes the hashes that are stored.
#[derive(Clone)]
pub(crate) struct Passwords {
    line: Line,
    remembered: Arc<Remembered>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self { line: Line::new(), remembered: Arc::new(Remembered::new()) }
    }

    /// Whether `given` was the password of the account `name` a moment ago, and still is.
    pub(crate) fn remember(&self, name: &UserName, stored: &PasswordHash, given: &str) -> bool {
        self.remembered.has(name, stored, given, Instant::now())
    }

    /// Whether `given` is the password of the account `name`, which is `stored`; it takes as long
    /// where there is none.
    ///
    /// # Errors
    /// Too many ask at once.
    pub(crate) async fn check(
        &self,
        name: &UserName,
        stored: Option<&PasswordHash>,
        given: &str,
    ) -> Result<bool, ApiError> {
        if given.len() > MOST_BYTES {
            return Ok(false);
        }
        let hash = stored.map_or(NOBODYS, PasswordHash::expose).to_owned();
        let password = given.to_owned();
        let is = self.line.stand_in(move |memory| argon::is(&password, &hash, memory)).await?;
        let right = is.ok_or(ApiError::Bug)?;
        let stored = stored.filter(|_| right);
        if let Some(stored) = stored {
            self.remembered.add(name, stored, given, Instant::now());
        }
        Ok(stored.is_some())
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// It is no good password, or too many ask at once.
    pub(crate) async fn hash(&self, password: &str) -> Result<PasswordHash, ApiError> {
        check_new(password)?;
        let password = password.to_owned();
        let hash = self.line.stand_in(move |memory| argon::hash(&password, memory)).await??;
        Ok(PasswordHash::new(hash))
    }
}

/// Says what is wrong with a new password.
fn check_new(password: &str) -> Result<(), ApiError> {
    let length = password.chars().count();
    let problem = if !(SHORTEST..=LONGEST).contains(&length) {
        format!("a password has {SHORTEST} to {LONGEST} characters: choose another one")
    } else if password.starts_with(token::PREFIX) {
        format!("a password cannot begin like a token, with {}: choose another one", token::PREFIX)
    } else {
        return Ok(());
    };
    Err(ApiError::Invalid("password_invalid", problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_right_for_its_own_hash_only() {
        let passwords = Passwords::new();
        let (ada, nobody) = ("ada".parse().unwrap(), "nobody".parse().unwrap());
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(!passwords.remember(&ada, &hash, "correct horse"));
        assert!(passwords.check(&ada, Some(&hash), "correct horse").await.unwrap());
        assert!(!passwords.check(&ada, Some(&hash), "correct horsf").await.unwrap());
        assert!(passwords.remember(&ada, &hash, "correct horse"));
        assert!(!passwords.remember(&ada, &hash, "correct horsf"));
        let changed = passwords.hash("battery staple").await.unwrap();
        assert!(!passwords.check(&ada, Some(&changed), "correct horse").await.unwrap());
        assert!(!passwords.check(&nobody, None, "").await.unwrap());
        assert!(!format!("{hash:?}").contains("argon2"), "{hash:?}");
    }

    #[test]
    fn a_new_password_has_a_length_and_is_no_token() {
        for good in ["12345678", &"é".repeat(256)] {
            assert!(check_new(good).is_ok(), "{good}");
        }
        for bad in ["", "1234567", &"x".repeat(257), "rac_pat_12345"] {
            assert!(check_new(bad).is_err(), "{bad}");
        }
    }
}
