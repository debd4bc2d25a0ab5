use serde::{Deserialize, Serialize};

/// An error as every HTTP API of RAC answers it: `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// The status text.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong and what to do next, in one or two sentences.
    pub detail: String,
    /// What kind of error, for programs, stable across versions: `app_not_found`.
    pub code: String,
}

impl Problem {
    /// The media type.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";
}
