use serde::{Deserialize, Serialize};

/// What answers at an address: the answer of `GET /v1/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Version {
    /// `rac-api`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its clock says, in RFC 3339.
    pub time: String,
    /// The domain under which apps have their host names.
    pub domain: String,
    /// Where images are pushed to, as `docker login` and `docker push` take it: `rac.example`.
    pub registry: String,
}
