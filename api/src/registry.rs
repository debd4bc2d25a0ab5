//! What the API reads from the registry and keeps in order there, each answer with a limit in bytes
//! and in time.
//!
//! A client crate for registries reads whole bodies whatever their length; these requests are made
//! by hand instead.

use std::sync::Arc;
use std::time::Duration;

use rac_model::{AppName, Digest, Tag};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LINK};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;

use crate::token::{Access, SignError, Signer};

/// The most bytes of a manifest, as the registry itself takes them.
const MAX_MANIFEST: usize = 4 << 20;
/// The most bytes of a list of names.
const MAX_LIST: usize = 8 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many repositories are listed at once.
const PAGE: &str = "100";

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Everything that a tag can be put on.
pub(crate) const MANIFESTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// The name that RAC itself goes by in the registry.
pub(crate) const RAC: &str = "rac-api";

/// A handle to the registry.
#[derive(Clone)]
pub(crate) struct Registry {
    http: Client,
    base: Url,
    signer: Arc<Signer>,
}

/// Why something cannot be read from the registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// It does not answer, or not now: try again when it does.
    #[error("the registry does not answer")]
    Down(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It does not have it.
    #[error("the registry has no {0}")]
    Missing(String),
    /// It has more than RAC reads.
    #[error("the registry's {what} is larger than {limit} bytes")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// The most bytes.
        limit: usize,
    },
    /// It answers with something else than what was asked for.
    #[error("the registry's answer is wrong: {0}")]
    Wrong(String),
    /// It cannot even be asked.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// A manifest, as it was pushed.
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) body: Vec<u8>,
}

/// A page of a list, and where the next one begins.
pub(crate) struct Page {
    pub(crate) names: Vec<String>,
    pub(crate) next: Option<String>,
}

impl Registry {
    pub(crate) fn new(base: Url, signer: Arc<Signer>) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .no_proxy()
            // Plain http inside: there may be no certificates at all on this machine.
            .tls_certs_only([])
            .connect_timeout(Duration::from_secs(2))
            .timeout(PATIENCE)
            .pool_max_idle_per_host(8)
            .build()?;
        Ok(Self { http, base, signer })
    }

    /// Whether it answers.
    pub(crate) async fn ping(&self, patience: Duration) -> Result<(), RegistryError> {
        let request = self.request(Method::GET, "/v2/", &[])?.timeout(patience);
        check(request.send().await.map_err(down)?, || "API".to_owned()).map(drop)
    }

    /// The manifest or index with this digest.
    pub(crate) async fn manifest(
        &self,
        app: &AppName,
        digest: &Digest,
    ) -> Result<Manifest, RegistryError> {
        let path = format!("/v2/{app}/manifests/{digest}");
        let request = self.request(Method::GET, &path, &[Access::pull(app)])?;
        let response = request.header(ACCEPT, MANIFESTS.join(", ")).send().await.map_err(down)?;
        let response = check(response, || format!("manifest {app}@{digest}"))?;
        let media_type = text(response.headers(), CONTENT_TYPE.as_str()).unwrap_or_default();
        let body = read(response, "manifest", MAX_MANIFEST).await?;
        verified(digest, &body)?;
        Ok(Manifest { media_type, body })
    }

    /// The blob with this digest, up to `limit` bytes.
    pub(crate) async fn blob(
        &self,
        app: &AppName,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let path = format!("/v2/{app}/blobs/{digest}");
        let request = self.request(Method::GET, &path, &[Access::pull(app)])?;
        let response = request.send().await.map_err(down)?;
        let response = check(response, || format!("blob {app}@{digest}"))?;
        let body = read(response, "blob", limit).await?;
        verified(digest, &body)?;
        Ok(body)
    }

    /// What the tag stands on now; nothing where there is no such tag.
    pub(crate) async fn tag(
        &self,
        app: &AppName,
        tag: &Tag,
    ) -> Result<Option<Digest>, RegistryError> {
        let path = format!("/v2/{app}/manifests/{tag}");
        let request = self.request(Method::HEAD, &path, &[Access::pull(app)])?;
        let response = request.header(ACCEPT, MANIFESTS.join(", ")).send().await.map_err(down)?;
        let response = match check(response, || format!("tag {app}:{tag}")) {
            Err(RegistryError::Missing(_)) => return Ok(None),
            response => response?,
        };
        let digest = text(response.headers(), "docker-content-digest").unwrap_or_default();
        match digest.parse() {
            Ok(digest) => Ok(Some(digest)),
            Err(_) => Err(RegistryError::Wrong(format!("the tag {app}:{tag} has no digest"))),
        }
    }

    /// Puts the tag on the manifest with this digest.
    pub(crate) async fn put_tag(
        &self,
        app: &AppName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let Manifest { media_type, body } = self.manifest(app, digest).await?;
        self.put(app, tag, media_type, body).await
    }

    async fn put(
        &self,
        app: &AppName,
        tag: &Tag,
        media_type: String,
        body: Vec<u8>,
    ) -> Result<(), RegistryError> {
        let path = format!("/v2/{app}/manifests/{tag}");
        let request = self.request(Method::PUT, &path, &[Access::keep(app)])?;
        let response = request.header(CONTENT_TYPE, media_type).body(body).send().await;
        check(response.map_err(down)?, || format!("tag {app}:{tag}")).map(drop)
    }

    /// Removes the manifest with this digest, and with it every tag that stands on it.
    pub(crate) async fn delete(&self, app: &AppName, digest: &Digest) -> Result<(), RegistryError> {
        let path = format!("/v2/{app}/manifests/{digest}");
        let request = self.request(Method::DELETE, &path, &[Access::keep(app)])?;
        let response = request.send().await.map_err(down)?;
        match check(response, || format!("manifest {app}@{digest}")) {
            Err(RegistryError::Missing(_)) => Ok(()),
            response => response.map(drop),
        }
    }

    /// Removes the tag, and leaves what it stands on.
    ///
    /// Distribution 2.8 has no request for that. What goes with a manifest that is deleted are the
    /// tags on it: so the tag is put on a manifest of its own first.
    pub(crate) async fn remove_tag(&self, app: &AppName, tag: &Tag) -> Result<(), RegistryError> {
        if self.tag(app, tag).await?.is_none() {
            return Ok(());
        }
        let own = nothing(app, tag);
        let digest = Digest::of(&own);
        self.put(app, tag, OCI_INDEX.to_owned(), own).await?;
        self.delete(app, &digest).await
    }

    /// The repositories, a page at a time: `from` is the `next` of the page before.
    pub(crate) async fn repositories(&self, from: Option<&str>) -> Result<Page, RegistryError> {
        #[derive(Deserialize)]
        struct Catalog {
            repositories: Option<Vec<String>>,
        }
        let first = format!("/v2/_catalog?n={PAGE}");
        let (body, next) = self.list(from.unwrap_or(&first), Access::catalog()).await?;
        let catalog: Catalog = read_json(&body)?;
        Ok(Page { names: catalog.repositories.unwrap_or_default(), next })
    }

    /// The tags of an app, a page at a time where the registry has pages of them (2.8 has not).
    pub(crate) async fn tags(
        &self,
        app: &AppName,
        from: Option<&str>,
    ) -> Result<Page, RegistryError> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let first = format!("/v2/{app}/tags/list");
        match self.list(from.unwrap_or(&first), Access::pull(app)).await {
            Ok((body, next)) => {
                let tags: Tags = read_json(&body)?;
                Ok(Page { names: tags.tags.unwrap_or_default(), next })
            }
            // A repository of which every tag was deleted is listed all the same.
            Err(RegistryError::Missing(_)) => Ok(Page { names: Vec::new(), next: None }),
            Err(error) => Err(error),
        }
    }

    async fn list(
        &self,
        path: &str,
        access: Access,
    ) -> Result<(Vec<u8>, Option<String>), RegistryError> {
        let request = self.request(Method::GET, path, &[access])?;
        let response = request.send().await.map_err(down)?;
        let response = check(response, || format!("list {path}"))?;
        let next = text(response.headers(), LINK.as_str()).as_deref().and_then(next_page);
        Ok((read(response, "list", MAX_LIST).await?, next))
    }

    /// A request with a token for exactly this.
    fn request(
        &self,
        method: Method,
        path: &str,
        access: &[Access],
    ) -> Result<reqwest::RequestBuilder, RegistryError> {
        let wrong = |_| RegistryError::Wrong(format!("{path} is no path"));
        let url = self.base.join(path).map_err(wrong)?;
        let token = self.signer.sign(RAC, access)?;
        Ok(self.http.request(method, url).bearer_auth(token.jwt))
    }
}

/// What a tag stands on for the moment before it is removed.
fn nothing(app: &AppName, tag: &Tag) -> Vec<u8> {
    let index = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [],
        "annotations": { "rac.removed": format!("{app}:{tag}") },
    });
    index.to_string().into_bytes()
}

/// Whether the tag stands on that: RAC was interrupted when it removed the tag.
pub(crate) fn is_nothing(app: &AppName, tag: &Tag, digest: &Digest) -> bool {
    Digest::of(&nothing(app, tag)) == *digest
}

fn down(error: reqwest::Error) -> RegistryError {
    RegistryError::Down(error.into())
}

fn check(response: Response, what: impl FnOnce() -> String) -> Result<Response, RegistryError> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => Err(RegistryError::Missing(what())),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(RegistryError::Down(format!("it answered {status}").into()))
        }
        status => Err(RegistryError::Wrong(format!("{status} for the {}", what()))),
    }
}

async fn read(
    mut response: Response,
    what: &'static str,
    limit: usize,
) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(down)? {
        if body.len() + chunk.len() > limit {
            return Err(RegistryError::TooLarge { what, limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn verified(digest: &Digest, body: &[u8]) -> Result<(), RegistryError> {
    if Digest::of(body) == *digest {
        return Ok(());
    }
    Err(RegistryError::Wrong(format!("what it has as {digest} is something else")))
}

fn read_json<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(body).map_err(|error| RegistryError::Wrong(error.to_string()))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The path in `</v2/_catalog?last=x&n=100>; rel="next"`. Only a path of the registry itself is
/// followed.
fn next_page(link: &str) -> Option<String> {
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let path = target.starts_with("/v2/") && parameters.contains("next");
    path.then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_the_registry_itself_is_followed() {
        let next = |link: &str| next_page(link);
        assert_eq!(
            next(r#"</v2/_catalog?last=a&n=2>; rel="next""#).unwrap(),
            "/v2/_catalog?last=a&n=2"
        );
        assert_eq!(next(r#"<http://elsewhere/v2/>; rel="next""#), None);
        assert_eq!(next(r#"<//elsewhere/v2/>; rel="next""#), None);
        assert_eq!(next("</v2/_catalog>"), None);
    }
}
