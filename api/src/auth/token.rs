//! Personal access tokens: `rac_pat_`, 30 random characters, and 6 that check them.
//!
//! The last six keep a mistyped token, or one that somebody makes up, from costing a query, and
//! let programs that look for leaked secrets be sure of what they found.

use rac_model::{AppName, Scope, UserName};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::secret;
use super::seen::Seen;
use crate::access::{User, Via};
use crate::clock;
use crate::db::Db;
use crate::db::audit::{self, Entry};
use crate::db::tokens::{self, Kind, TokenRow};
use crate::problem::ApiError;

/// What every token begins with.
pub(crate) const PREFIX: &str = "rac_pat_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM: usize = 30;
const CHECK: usize = 6;
/// A day, in milliseconds.
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1000;
/// The most tokens of a kind that one account has. Of those that come of a log-in the oldest goes.
pub(crate) const MOST_PERSONAL: u64 = 100;
const MOST_LOGIN: u32 = 50;
const MOST_DOCKER: u32 = 20;

/// A token to be made.
pub(crate) struct Wanted<'a> {
    pub(crate) user: &'a UserName,
    pub(crate) name: &'a str,
    pub(crate) kind: Kind,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) app: Option<AppName>,
    pub(crate) days: u32,
}

/// Makes a token, and returns it with what is stored of it.
pub(crate) async fn create(
    db: &mut AnyConnection,
    wanted: Wanted<'_>,
    now: i64,
) -> Result<(String, TokenRow), ApiError> {
    let text = generate()?;
    let row = TokenRow {
        id: Uuid::now_v7().to_string(),
        account: wanted.user.clone(),
        name: wanted.name.to_owned(),
        kind: wanted.kind,
        last4: text.chars().skip(PREFIX.len() + RANDOM + CHECK - 4).collect(),
        scopes: wanted.scopes,
        app: wanted.app,
        created_at: now,
        expires_at: now.saturating_add(i64::from(wanted.days) * DAY),
        used_at: None,
    };
    tokens::create(db, &row, &secret::hash(&text)).await?;
    match row.kind {
        Kind::Personal => {}
        Kind::Login => tokens::keep_newest(db, wanted.user, row.kind, MOST_LOGIN).await?,
        Kind::Docker => tokens::keep_newest(db, wanted.user, row.kind, MOST_DOCKER).await?,
    }
    let entry = Entry {
        kind: "token.created",
        actor: Some(wanted.user),
        app: row.app.as_ref(),
        account: Some(wanted.user),
        message: format!("{} made the token {:?} ({})", wanted.user, row.name, row.id),
    };
    audit::append(db, &entry, now).await?;
    Ok((text, row))
}

/// The account whose token `text` is.
pub(super) async fn check(db: &Db, seen: &Seen, text: &str) -> Result<User, ApiError> {
    if !is_well_formed(text) {
        return Err(ApiError::WrongCredentials);
    }
    let row = tokens::by_hash(db.reader(), &secret::hash(text)).await?;
    let now = clock::now();
    let row = row.filter(|row| row.expires_at > now).ok_or(ApiError::WrongCredentials)?;
    seen.token(&row.id, row.used_at, now);
    let via = Via::Token { id: row.id, scopes: row.scopes, app: row.app };
    Ok(User { name: row.account, via })
}

fn generate() -> Result<String, ApiError> {
    let mut text = PREFIX.to_owned();
    while text.len() < PREFIX.len() + RANDOM {
        let mut bytes = [0; 1];
        secret::fill(&mut bytes)?;
        let [byte] = bytes;
        // Four times 62 is 248: what is above would make some characters likelier than others.
        if byte < 248
            && let Some(digit) = DIGITS.get(usize::from(byte % 62))
        {
            text.push(char::from(*digit));
        }
    }
    let check = checksum(text.trim_start_matches(PREFIX));
    Ok(text + &check)
}

fn is_well_formed(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else { return false };
    let Some((random, check)) = rest.split_at_checked(RANDOM) else { return false };
    random.bytes().all(|c| c.is_ascii_alphanumeric()) && checksum(random) == check
}

/// CRC-32 of the random part, in base 62.
fn checksum(random: &str) -> String {
    let mut rest = crc32fast::hash(random.as_bytes());
    let mut digits = [b'0'; CHECK];
    for place in digits.iter_mut().rev() {
        *place = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_checks_itself() {
        let token = generate().unwrap();
        assert_eq!(token.len(), 44);
        assert!(is_well_formed(&token), "{token}");
        assert_ne!(generate().unwrap(), token);
        for place in [8, 20, 37, 38, 43] {
            let mut wrong = token.clone().into_bytes();
            wrong[place] = if wrong[place] == b'x' { b'y' } else { b'x' };
            assert!(!is_well_formed(&String::from_utf8(wrong).unwrap()), "{place}");
        }
        let begin = &token[..43];
        for wrong in
            ["", "rac_pat_", begin, &format!("{token}0"), &token[8..], &token.replace("pat", "tap")]
        {
            assert!(!is_well_formed(wrong), "{wrong:?}");
        }
        assert_eq!(checksum("0123456789ABCDEFGHIJKLMNOPQRST").len(), CHECK);
    }

    #[tokio::test]
    async fn a_token_whose_checksum_is_wrong_costs_no_query() {
        let home = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/rac.db?mode=rwc", home.path().display());
        let db = Db::open(&url).await.unwrap();
        db.close().await;
        let right = generate().unwrap();
        let wrong = format!("{}{}", &right[..43], if right.ends_with('0') { '1' } else { '0' });
        let seen = Seen::new();
        let refused = check(&db, &seen, &wrong).await.unwrap_err();
        assert!(matches!(refused, ApiError::WrongCredentials), "{refused}");
        let asked = check(&db, &seen, &right).await.unwrap_err();
        assert!(matches!(asked, ApiError::Database(_)), "{asked}");
    }
}
