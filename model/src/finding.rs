use serde::{Deserialize, Serialize};

/// Something about a release that its owner should know: what was found, and what RAC does about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// What kind of finding this is, stable across versions: `label_invalid`, `port_ambiguous`, ….
    pub code: String,
    /// One sentence: what was found, what is used instead, what to write.
    pub message: String,
}

impl Finding {
    /// A finding of the kind `code`.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}
