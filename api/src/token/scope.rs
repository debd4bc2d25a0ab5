use std::collections::{BTreeMap, BTreeSet};

use rac_model::AppName;
use serde::Serialize;

use crate::access::RegistryRights;

/// The most scopes in one request, and the longest.
const MAX_SCOPES: usize = 16;
const MAX_LENGTH: usize = 512;

/// What a token allows on one thing of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Access {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository, or `catalog`.
    pub name: String,
    /// `pull`, `push`.
    pub actions: Vec<&'static str>,
}

/// A request that asks for more than anybody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ask for at most {MAX_SCOPES} scopes of at most {MAX_LENGTH} characters each")]
pub struct InvalidScopes;

impl Access {
    /// Reading one app's repository.
    pub fn pull(app: &AppName) -> Self {
        let kind = "repository".to_owned();
        Self { kind, name: app.to_string(), actions: vec!["pull"] }
    }

    /// Everything on one app's repository: for RAC itself, never for a client.
    pub(crate) fn keep(app: &AppName) -> Self {
        Self { actions: vec!["pull", "push", "delete"], ..Self::pull(app) }
    }

    /// Listing all repositories: for RAC itself, never for a client.
    pub(crate) fn catalog() -> Self {
        let kind = "registry".to_owned();
        Self { kind, name: "catalog".to_owned(), actions: vec!["*"] }
    }
}

/// What a client asks for on one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The app.
    pub app: AppName,
    /// `pull`, `push`.
    actions: BTreeSet<&'static str>,
}

impl Asked {
    /// What of it somebody with these `rights` gets.
    pub fn granted(&self, rights: RegistryRights) -> Option<Access> {
        let allowed = |action: &&str| match *action {
            "pull" => rights.pull,
            _ => rights.push,
        };
        let actions: Vec<_> = self.actions.iter().copied().filter(allowed).collect();
        let (kind, name) = ("repository".to_owned(), self.app.to_string());
        (!actions.is_empty()).then_some(Access { kind, name, actions })
    }
}

/// What anybody could get of the scopes that a client asks for; each text may hold several,
/// separated by spaces.
///
/// What is not allowed, or not understood, is left out: a client asks for more than it needs, and
/// the registry refuses what it then tries. Nobody may delete, or list the registry.
///
/// # Errors
/// There are too many scopes, or too long ones.
pub fn asked<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Vec<Asked>, InvalidScopes> {
    let mut all: BTreeMap<AppName, BTreeSet<&'static str>> = BTreeMap::new();
    let mut asked = 0;
    for scope in scopes.into_iter().flat_map(|scopes| scopes.split(' ')) {
        if scope.is_empty() {
            continue;
        }
        asked += 1;
        if asked > MAX_SCOPES || scope.len() > MAX_LENGTH {
            return Err(InvalidScopes);
        }
        if let Some((app, actions)) = allowed(scope) {
            all.entry(app).or_default().extend(actions);
        }
    }
    Ok(all.into_iter().map(|(app, actions)| Asked { app, actions }).collect())
}

/// What of `type[(class)]:name:action[,action]*` anybody could have. The name may hold a
/// colon (a host's port), so the type ends at the first and the actions begin after the last.
fn allowed(scope: &str) -> Option<(AppName, impl Iterator<Item = &'static str>)> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let app = (kind == "repository").then(|| name.parse::<AppName>().ok())??;
    let actions = actions.split(',').filter_map(|action| match action {
        "pull" => Some("pull"),
        "push" => Some("push"),
        _ => None,
    });
    Some((app, actions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scopes: &[&str], expected: &str) {
        let all = RegistryRights { pull: true, push: true };
        let asked = asked(scopes.iter().copied()).unwrap();
        let shown: Vec<String> = asked
            .iter()
            .filter_map(|asked| asked.granted(all))
            .map(|access| format!("{}:{}:{}", access.kind, access.name, access.actions.join(",")))
            .collect();
        assert_eq!(shown.join(" "), expected, "{scopes:?}");
    }

    #[test]
    fn a_client_gets_what_it_asks_for_and_may_have() {
        check(&[], "");
        check(&["repository:shop:pull"], "repository:shop:pull");
        check(&["repository:shop:push,pull"], "repository:shop:pull,push");
        check(&["repository:shop:pull,push,delete,*"], "repository:shop:pull,push");
        check(
            &["repository:shop:pull repository:blog-2:pull"],
            "repository:blog-2:pull repository:shop:pull",
        );
        check(&["repository:shop:pull", "repository:shop:push"], "repository:shop:pull,push");
    }

    #[test]
    fn who_may_only_read_gets_no_more() {
        let asked = asked(["repository:shop:pull,push repository:wiki:push"]).unwrap();
        let may = |pull, push| {
            let granted =
                asked.iter().filter_map(|asked| asked.granted(RegistryRights { pull, push }));
            granted.map(|access| (access.name, access.actions)).collect::<Vec<_>>()
        };
        assert_eq!(may(true, false), [("shop".to_owned(), vec!["pull"])]);
        assert_eq!(may(false, false), []);
    }

    #[test]
    fn what_nobody_may_have_is_left_out() {
        for scope in [
            "repository:shop:delete",
            "repository:shop:*",
            "registry:catalog:*",
            "registry:catalog:pull",
            "repository:admin:pull,push",
            "repository:a/b:pull,push",
            "repository:../shop:pull",
            "repository:Shop:pull",
            "repository:a--b:pull",
            "repository:*:pull",
            "repository:localhost:8080/shop:pull",
        ] {
            check(&[scope], "");
        }
    }

    #[test]
    fn what_is_no_scope_grants_nothing() {
        for scope in [
            "shop",
            "repository",
            "repository:shop",
            "repository:shop:",
            "repository::pull",
            ":shop:pull",
            "repository(plugin):shop:pull",
            "Repository:shop:pull",
            "repository:shop:PULL",
            "repository:shop: pull",
            "repository:shop\0:pull",
        ] {
            check(&[scope], "");
        }
    }

    #[test]
    fn more_scopes_than_anybody_needs_are_refused() {
        let many = vec!["repository:shop:pull"; MAX_SCOPES + 1].join(" ");
        assert_eq!(asked([many.as_str()]), Err(InvalidScopes));
        let long = format!("repository:{}:pull", "a".repeat(MAX_LENGTH));
        assert_eq!(asked([long.as_str()]), Err(InvalidScopes));
    }
}
