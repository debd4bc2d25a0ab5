//! The environment that an app's owner has set, on its way from the route to the instance.

use std::collections::BTreeMap;

use rac_model::Route;
use rac_runtime::Env;
use rac_seal::{Keyring, SealError};

/// Why an environment cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvError {
    /// The node has another secret than the API had, or the route was damaged.
    #[error("could not open the environment")]
    Seal(#[from] SealError),
    /// What was sealed is no object of names and values. The reason would show some of it.
    #[error("the environment is not written as it should be")]
    Malformed,
}

/// Opens the environment of `route`; one without is empty.
pub(crate) fn open(keys: &Keyring, route: &Route) -> Result<Env, EnvError> {
    let Some(sealed) = &route.env else { return Ok(Env::default()) };
    let text = keys.open(&route.env_belongs_to(), sealed)?;
    let variables: BTreeMap<String, String> =
        serde_json::from_str(&text).map_err(|_| EnvError::Malformed)?;
    Ok(variables.into())
}
