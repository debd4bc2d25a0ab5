use std::error::Error;

use rac_model::ImageRef;

use crate::InstanceId;

/// Why an image could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Nobody can run this image until someone pushes it.
    #[error("the registry does not have the image `{0}`: push it again")]
    NoSuchImage(ImageRef),

    /// The image will never run as it is; the text says why and what to do.
    #[error("{0}")]
    Invalid(String),

    /// The registry did not answer as it should; trying again may help.
    #[error("the registry did not give the image")]
    Registry(#[source] Box<dyn Error + Send + Sync>),

    /// The engine failed; trying again may help.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Why an instance could not be created or started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Prepare it first.
    #[error("the image `{0}` is not prepared")]
    NotPrepared(ImageRef),

    /// Create it first.
    #[error("there is no instance `{0}`")]
    NoSuchInstance(InstanceId),

    /// The image will never run as it is (no such program in it, no such user); the text says why.
    #[error("{0}")]
    Invalid(String),

    /// The engine failed; trying again may help.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The engine itself failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {action}")]
pub struct BackendError {
    action: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl BackendError {
    /// Says what was being done: `.map_err(BackendError::during("create the container"))`.
    pub fn during<E: Into<Box<dyn Error + Send + Sync>>>(
        action: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self { action, source: source.into() }
    }
}
