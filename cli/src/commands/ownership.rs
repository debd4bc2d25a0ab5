//! Whose an app is, and who may see it.

use rac_model::{
    App, AppName, Collaborator, CollaboratorList, NewCollaborator, Transfer, UrlAccess, Visibility,
    VisibilityChange,
};
use reqwest::Method;

use crate::args::{Share, TransferTo, Unshare, VisibilityArgs};
use crate::client::Path;
use crate::error::CliError;
use crate::output::table::{Column, table};
use crate::output::time::ago;
use crate::session::Session;

pub(super) async fn claim(session: &Session, app: &AppName) -> Result<(), CliError> {
    session.client.need_login()?;
    let app: App = session.client.post(&Path::app(app, ["claim"])).await?;
    session.out.show(&app, |_| {
        let name = &app.name;
        format!("{name} is yours: only you push to it, and those you `rac share {name}` with")
    })
}

pub(super) async fn release_claim(session: &Session, app: &AppName) -> Result<(), CliError> {
    session.client.need_login()?;
    let app: App = session.client.delete_from(&Path::app(app, ["claim"])).await?;
    session.out.show(&app, |look| {
        let end = app.expires_at.as_ref().map(|at| format!("; it ends {}", ago(at, look.now)));
        let end = end.unwrap_or_default();
        format!("{} belongs to nobody: everybody may push to it, or claim it{end}", app.name)
    })
}

pub(super) async fn transfer(session: &Session, args: TransferTo) -> Result<(), CliError> {
    session.client.need_login()?;
    let body = Transfer { to: args.to.clone() };
    let path = Path::app(&args.app, ["transfer"]);
    let app: App = session.client.send(Method::POST, &path, &body).await?;
    session.out.show(&app, |_| format!("{} belongs to {} now", app.name, args.to))
}

pub(super) async fn share(session: &Session, args: Share) -> Result<(), CliError> {
    session.client.need_login()?;
    let body = NewCollaborator { role: args.role.into() };
    let role = rac_model::Role::from(body.role).as_str();
    let path = Path::app(&args.app, ["collaborators", args.name.as_str()]);
    session.client.send_only(Method::PUT, &path, &body).await?;
    session.out.done(&format!("{} may work on {} now, with the role {role}", args.name, args.app))
}

pub(super) async fn unshare(session: &Session, args: Unshare) -> Result<(), CliError> {
    session.client.need_login()?;
    let path = Path::app(&args.app, ["collaborators", args.name.as_str()]);
    session.client.delete(&path).await?;
    session.out.done(&format!("{} has no part in {} any more", args.name, args.app))
}

pub(super) async fn collaborators(session: &Session, app: &AppName) -> Result<(), CliError> {
    session.client.need_login()?;
    let list: CollaboratorList = session.client.get(&Path::app(app, ["collaborators"])).await?;
    session.out.show(&list, |look| {
        let columns = [Column::new("NAME"), Column::new("ROLE"), Column::new("SINCE")];
        let row = |who: &Collaborator| {
            [(&who.name).into(), who.role.as_str().into(), ago(&who.since, look.now).into()]
        };
        table(columns, list.items.iter().map(row).collect(), look)
    })
}

pub(super) async fn visibility(session: &Session, args: VisibilityArgs) -> Result<(), CliError> {
    let change = VisibilityChange {
        visibility: args.visibility.map(Into::into),
        url_access: args.url.map(Into::into),
    };
    let app: App = if change.visibility.is_none() && change.url_access.is_none() {
        session.client.get(&Path::app(&args.app, [])).await?
    } else {
        session.client.need_login()?;
        session.client.send(Method::PUT, &Path::app(&args.app, ["visibility"]), &change).await?
    };
    session.out.show(&app, |_| seen(&app))
}

/// Who sees an app and opens its URLs, as a sentence.
fn seen(app: &App) -> String {
    let seen = match app.visibility {
        Visibility::Public => "public: everybody may see it and pull its images",
        Visibility::Private => "private: only its owner and collaborators see it",
    };
    let opened = match app.url_access {
        UrlAccess::Public => "its URLs are open to everybody",
        UrlAccess::Login => "its URLs ask for a log-in",
    };
    format!("{} is {seen}; {opened}", app.name)
}
