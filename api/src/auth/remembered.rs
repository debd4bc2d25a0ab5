//! Passwords that were right a moment ago.
//!
//! A client of the registry shows the password again for every token, and a push takes many. What is
//! kept is a MAC under a key that lives as long as this process, over the stored hash as well: once
//! the password is changed, by whichever process, the old one is right no more.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use parking_lot::Mutex;
use rac_model::UserName;
use tokio::time::Instant;

use crate::db::accounts::PasswordHash;

/// For how long.
const MEMORY: Duration = Duration::from_secs(300);
/// How many at most.
const MOST: usize = 1024;

/// Who showed which password.
pub(super) struct Remembered {
    /// Without one, nothing is remembered.
    key: Option<hmac::Key>,
    until: Mutex<HashMap<Vec<u8>, Instant>>,
}

impl Remembered {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).ok();
        Self { key, until: Mutex::default() }
    }

    pub(super) fn has(
        &self,
        name: &UserName,
        stored: &PasswordHash,
        password: &str,
        now: Instant,
    ) -> bool {
        let Some(mac) = self.mac(name, stored, password) else { return false };
        self.until.lock().get(&mac).is_some_and(|until| now < *until)
    }

    pub(super) fn add(&self, name: &UserName, stored: &PasswordHash, password: &str, now: Instant) {
        let Some(mac) = self.mac(name, stored, password) else { return };
        let mut until = self.until.lock();
        if until.len() >= MOST {
            until.retain(|_, until| now < *until);
        }
        if until.len() < MOST {
            until.insert(mac, now + MEMORY);
        }
    }

    fn mac(&self, name: &UserName, stored: &PasswordHash, password: &str) -> Option<Vec<u8>> {
        let mut mac = hmac::Context::with_key(self.key.as_ref()?);
        // Neither a name nor a hash holds a zero byte, so no two triples read the same.
        for part in [name.as_str(), "\0", stored.expose(), "\0", password] {
            mac.update(part.as_bytes());
        }
        Some(mac.sign().as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    #[test]
    fn a_right_password_is_remembered_for_a_while() {
        let (remembered, now) = (Remembered::new(), Instant::now());
        let (old, new) = (PasswordHash::new("old".to_owned()), PasswordHash::new("new".to_owned()));
        remembered.add(&user("ada"), &old, "secret", now);
        assert!(remembered.has(&user("ada"), &old, "secret", now));
        assert!(!remembered.has(&user("ada"), &new, "secret", now), "after a change");
        assert!(!remembered.has(&user("eve"), &old, "secret", now));
        assert!(!remembered.has(&user("ada"), &old, "Secret", now));
        let now = now + MEMORY;
        assert!(!remembered.has(&user("ada"), &old, "secret", now));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let (remembered, now) = (Remembered::new(), Instant::now());
        let hash = PasswordHash::new("hash".to_owned());
        for n in 0..MOST + 10 {
            remembered.add(&user("ada"), &hash, &n.to_string(), now);
        }
        assert_eq!(remembered.until.lock().len(), MOST);
        let now = now + MEMORY;
        remembered.add(&user("ada"), &hash, "fresh", now);
        assert_eq!(remembered.until.lock().len(), 1);
    }
}
