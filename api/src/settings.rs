//! What the owner of an app has set for it: sealed in the database, taken by every release that is
//! made, and sealed once more on its way to the nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use rac_model::feed::ENV_PURPOSE;
use rac_model::{AppName, Chain, EnvChange, Route, UserName};
use rac_seal::{Keyring, SealError};
use sqlx::AnyConnection;
use tracing::error;

use crate::db::DbError;
use crate::db::env::{self, EnvRow};
use crate::keys::Keys;

/// The most variables of an app, the longest name and value, and the most bytes of all.
const MAX_VARIABLES: usize = 100;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 8192;
const MAX_BYTES: usize = 64 << 10;

/// Seals and opens what people have set.
#[derive(Clone)]
pub struct Vault {
    keys: Arc<Keys>,
    /// The key that the nodes have too.
    nodes: Arc<Keyring>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// A vault with the keys of this RAC.
    ///
    /// # Errors
    /// The library fails.
    pub fn new(keys: Arc<Keys>) -> Result<Self, SealError> {
        let nodes = Keyring::derive(keys.node.expose().as_bytes(), ENV_PURPOSE)?;
        Ok(Self { keys, nodes: Arc::new(nodes) })
    }

    /// Seals one of a user's own settings.
    pub(crate) fn seal_config(
        &self,
        user: &UserName,
        key: &str,
        value: &str,
    ) -> Result<String, DbError> {
        self.seal(&format!("config/{user}/{key}"), value)
    }

    /// Opens one of a user's own settings.
    pub(crate) fn open_config(
        &self,
        user: &UserName,
        key: &str,
        sealed: &str,
    ) -> Result<String, DbError> {
        self.open(&format!("config/{user}/{key}"), sealed)
    }

    /// Seals a variable of an app.
    pub(crate) fn seal_variable(
        &self,
        app: &AppName,
        key: &str,
        value: &str,
    ) -> Result<String, DbError> {
        self.seal(&format!("env/{app}/{key}"), value)
    }

    /// Opens a variable of an app.
    pub(crate) fn open_variable(&self, app: &AppName, row: &EnvRow) -> Result<String, DbError> {
        self.open(&format!("env/{app}/{}", row.key), &row.value)
    }

    /// The environment of `app` as it is now, sealed for its release `number`; nothing where it is
    /// empty.
    pub(crate) async fn release_env(
        &self,
        tx: &mut AnyConnection,
        app: &AppName,
        number: u64,
    ) -> Result<Option<String>, DbError> {
        let mut variables = BTreeMap::new();
        for row in env::of_app(tx, app).await? {
            let value = self.open_variable(app, &row)?;
            variables.insert(row.key, value);
        }
        if variables.is_empty() {
            return Ok(None);
        }
        let text = serde_json::to_string(&variables).map_err(DbError::corrupt("environment"))?;
        self.seal(&format!("release/{app}/{number}"), &text).map(Some)
    }

    /// Seals the environment of a route that was read for the nodes.
    ///
    /// Where it cannot be opened it stays as it is: the nodes cannot open it either, and start
    /// nothing rather than an app without its settings.
    pub(crate) fn seal_for_nodes(&self, route: &mut Route) {
        let Some(sealed) = &route.env else { return };
        let opened =
            self.keys.secrets.open(&format!("release/{}/{}", route.app, route.release), sealed);
        let again = opened.and_then(|env| self.nodes.seal(&route.env_belongs_to(), &env));
        match again {
            Ok(sealed) => route.env = Some(sealed),
            Err(error) => error!(
                error = %Chain(&error),
                app.name = %route.app,
                release.number = route.release,
                "Could not open the settings of a release: it cannot be started"
            ),
        }
    }

    fn seal(&self, belongs_to: &str, text: &str) -> Result<String, DbError> {
        self.keys.secrets.seal(belongs_to, text).map_err(DbError::corrupt("sealed text"))
    }

    fn open(&self, belongs_to: &str, sealed: &str) -> Result<String, DbError> {
        self.keys.secrets.open(belongs_to, sealed).map_err(DbError::corrupt("sealed text"))
    }
}

/// A variable as it is set.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) value: String,
    pub(crate) secret: bool,
}

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, Variable>;

/// Why an environment cannot be changed so, in a sentence for whoever wants to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadEnv(String);

/// The environment that a change of `now` makes.
pub(crate) fn changed(now: &Variables, change: EnvChange) -> Result<Variables, BadEnv> {
    let EnvChange { set, secrets, unset } = change;
    let mut after = now.clone();
    for name in &unset {
        if set.contains_key(name) || secrets.contains_key(name) {
            return Err(twice(name));
        }
        after.remove(name);
    }
    if let Some(name) = set.keys().find(|name| secrets.contains_key(*name)) {
        return Err(twice(name));
    }
    let open = set.into_iter().map(|(name, value)| (name, Variable { value, secret: false }));
    let secret = secrets.into_iter().map(|(name, value)| (name, Variable { value, secret: true }));
    for (name, variable) in open.chain(secret) {
        check(&name, &variable.value)?;
        after.insert(name, variable);
    }
    if after.len() > MAX_VARIABLES {
        return Err(BadEnv(format!(
            "an app has at most {MAX_VARIABLES} variables: unset some first"
        )));
    }
    let bytes: usize = after.iter().map(|(name, variable)| name.len() + variable.value.len()).sum();
    if bytes > MAX_BYTES {
        return Err(BadEnv(format!(
            "names and values take more than {MAX_BYTES} bytes together: shorten or unset some"
        )));
    }
    Ok(after)
}

fn twice(name: &str) -> BadEnv {
    BadEnv(format!("{} is named more than once: say one thing of each variable", short(name)))
}

fn check(name: &str, value: &str) -> Result<(), BadEnv> {
    let first = |c: u8| c.is_ascii_alphabetic() || c == b'_';
    let well_formed = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().next().is_some_and(first)
        && name.bytes().all(|c| first(c) || c.is_ascii_digit());
    if !well_formed {
        return Err(BadEnv(format!(
            "{} is no name for a variable: it is 1 to {MAX_NAME} letters, digits and `_`, and \
             begins with no digit",
            short(name)
        )));
    }
    if name == "PORT" {
        return Err(BadEnv(
            "PORT is what the app listens on, and comes from the image: set it there with EXPOSE \
             or the label rac.port"
                .to_owned(),
        ));
    }
    if value.chars().count() > MAX_VALUE {
        return Err(BadEnv(format!("the value of {name} is longer than {MAX_VALUE} characters")));
    }
    if value.contains('\0') {
        return Err(BadEnv(format!("the value of {name} holds a NUL, which no variable can")));
    }
    Ok(())
}

fn short(name: &str) -> String {
    let name: String = name.chars().take(MAX_NAME).collect();
    format!("{name:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> EnvChange {
        EnvChange { set: [(name.to_owned(), value.to_owned())].into(), ..EnvChange::default() }
    }

    fn changed_from_nothing(change: EnvChange) -> Result<usize, String> {
        changed(&Variables::new(), change).map(|env| env.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_variable_has_a_plain_name_that_is_not_port() {
        for good in ["A", "_", "DATABASE_URL", "a1", &"A".repeat(64)] {
            assert_eq!(changed_from_nothing(set(good, "x")), Ok(1), "{good:?}");
        }
        for bad in ["", "1A", "A-B", "A B", "É", "A=B", "PORT", &"A".repeat(65)] {
            assert!(changed_from_nothing(set(bad, "x")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_environment_has_its_limits() {
        assert_eq!(changed_from_nothing(set("A", &"é".repeat(8192))), Ok(1));
        assert!(changed_from_nothing(set("A", &"x".repeat(8193))).is_err());
        assert!(changed_from_nothing(set("A", "a\0b")).is_err());
        let many = |n: usize, value: &str| EnvChange {
            secrets: (0..n).map(|n| (format!("V{n}"), value.to_owned())).collect(),
            ..EnvChange::default()
        };
        assert_eq!(changed_from_nothing(many(100, "x")), Ok(100));
        assert!(changed_from_nothing(many(101, "x")).is_err());
        assert!(changed_from_nothing(many(9, &"x".repeat(8000))).is_err());
    }

    #[test]
    fn one_thing_is_said_of_each_variable() {
        let mut change = set("A", "x");
        change.unset.push("A".to_owned());
        assert!(changed_from_nothing(change).is_err());
        let mut change = set("A", "x");
        change.secrets.insert("A".to_owned(), "y".to_owned());
        assert!(changed_from_nothing(change).is_err());
    }
}
