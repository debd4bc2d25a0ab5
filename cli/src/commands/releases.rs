//! Releases and previews: what can be live, and what is.

mod one;

use rac_model::{App, AppName, Preview, Release, ReleaseList};
use reqwest::Method;

use crate::args::{PreviewsCommand, Promote, ReleaseArgs, Releases, Remove, Rollback};
use crate::client::Path;
use crate::error::CliError;
use crate::output::table::{Column, Field, table};
use crate::output::time::{ago, bytes};
use crate::output::{Look, Paint};
use crate::prompt;
use crate::session::Session;

pub(super) use one::short;

/// The most that the server gives at once.
const PAGE: usize = 100;

pub(super) async fn list(session: &Session, args: Releases) -> Result<(), CliError> {
    let releases = pages(session, &args.app, args.limit as usize).await?;
    session.out.show(&releases, |look| listed(&releases, &args.app, look))
}

async fn pages(session: &Session, app: &AppName, limit: usize) -> Result<ReleaseList, CliError> {
    let mut list = ReleaseList { items: Vec::new(), next: None };
    loop {
        let page = (limit - list.items.len()).min(PAGE);
        let mut query = vec![("limit", page.to_string())];
        query.extend(list.next.take().map(|before| ("before", before)));
        let path = Path::app(app, ["releases"]);
        let got: ReleaseList = session.client.get_with(&path, &query).await?;
        let more = !got.items.is_empty() && got.next.is_some();
        list.items.extend(got.items);
        list.next = got.next;
        if !more || list.items.len() >= limit {
            return Ok(list);
        }
    }
}

fn listed(list: &ReleaseList, app: &AppName, look: &Look) -> String {
    if list.items.is_empty() {
        return format!("no releases: push {app} with `docker push`");
    }
    let columns = [
        Column::new("N").right(),
        Column::new("TAG"),
        Column::new("STATE"),
        Column::new("PUSHED"),
        Column::new("BY").spare(2),
        Column::new("CAUSE").spare(4),
        Column::new("SIZE").right().spare(3),
        Column::new("DIGEST").spare(5),
        Column::new("FINDINGS").right().spare(6),
        Column::new("URL").spare(1),
    ];
    let table = table(columns, list.items.iter().map(|release| row(release, look)).collect(), look);
    match list.next {
        Some(_) => format!("{table}\n… and more: -n says how many"),
        None => table,
    }
}

fn row(release: &Release, look: &Look) -> [Field; 10] {
    [
        release.number.into(),
        (&release.tag).into(),
        state(release),
        ago(&release.pushed_at, look.now).into(),
        Field::or_dash(release.pushed_by.as_ref()),
        (&release.cause).into(),
        bytes(release.size).into(),
        short(&release.digest).into(),
        Field::or_dash((!release.findings.is_empty()).then_some(release.findings.len())),
        Field::or_dash(release.url.as_ref()),
    ]
}

fn state(release: &Release) -> Field {
    if release.live {
        Field::from("live").painted(Paint::Good)
    } else if release.refused.is_some() {
        Field::from("refused").painted(Paint::Bad)
    } else if release.url.is_some() {
        "preview".into()
    } else {
        Field::from("kept").painted(Paint::Dim)
    }
}

pub(super) async fn show(session: &Session, args: ReleaseArgs) -> Result<(), CliError> {
    let release = match args.number {
        Some(number) => {
            let path = Path::app(&args.app, ["releases", &number.to_string()]);
            session.client.get::<Release>(&path).await?
        }
        None => live(session, &args.app).await?,
    };
    session.out.show(&release, |look| one::release(&args.app, &release, look))
}

async fn live(session: &Session, app: &AppName) -> Result<Release, CliError> {
    let found: App = session.client.get(&Path::app(app, [])).await?;
    found.release.ok_or_else(|| {
        CliError::NotFound(format!("no release of {app} is live: `rac releases {app}` lists them"))
    })
}

pub(super) async fn roll_back(session: &Session, args: Rollback) -> Result<(), CliError> {
    let body = rac_model::Rollback { release: args.number };
    let path = Path::app(&args.app, ["rollback"]);
    let release: Release = session.client.send(Method::POST, &path, &body).await?;
    session.out.show(&release, |look| went_live(&args.app, &release, look))
}

pub(super) async fn promote(session: &Session, args: Promote) -> Result<(), CliError> {
    let body = args.what.wanted(args.tag);
    let path = Path::app(&args.app, ["promote"]);
    let release: Release = session.client.send(Method::POST, &path, &body).await?;
    session.out.show(&release, |look| went_live(&args.app, &release, look))
}

fn went_live(app: &AppName, release: &Release, look: &Look) -> String {
    let url = release.url.as_ref().map(|url| format!(": {url}")).unwrap_or_default();
    let pushed = ago(&release.pushed_at, look.now);
    format!("{app} serves release {} now ({}, pushed {pushed}){url}", release.number, release.tag)
}

pub(super) async fn previews(session: &Session, command: PreviewsCommand) -> Result<(), CliError> {
    match command {
        PreviewsCommand::List(args) => {
            let app: App = session.client.get(&Path::app(&args.app, [])).await?;
            let document = serde_json::json!({ "items": app.previews });
            session.out.show(&document, |look| previews_listed(&app, look))
        }
        PreviewsCommand::Rm(args) => {
            let path = Path::app(&args.app, ["previews", args.tag.as_str()]);
            session.client.delete(&path).await?;
            session.out.done(&format!("the preview {} of {} is removed", args.tag, args.app))
        }
    }
}

fn previews_listed(app: &App, look: &Look) -> String {
    if app.previews.is_empty() {
        return format!("no previews: push {} with another tag than `latest`", app.name);
    }
    let columns = [Column::new("TAG"), Column::new("RELEASE").right(), Column::new("URL")];
    let row =
        |preview: &Preview| [(&preview.tag).into(), preview.release.into(), (&preview.url).into()];
    table(columns, app.previews.iter().map(row).collect(), look)
}

pub(super) async fn remove(session: &Session, args: Remove) -> Result<(), CliError> {
    session.client.need_login()?;
    let app = &args.app;
    if let Some(number) = args.release {
        let path = Path::app(app, ["releases", &number.to_string()]);
        session.client.delete(&path).await?;
        return session.out.done(&format!("release {number} of {app} is removed"));
    }
    if !args.yes {
        confirm(session, app).await?;
    }
    session.client.delete(&Path::app(app, [])).await?;
    session.out.done(&format!("{app} is deleted; its name stays yours for 30 days"))
}

/// What is gone is gone: the name is typed again.
async fn confirm(session: &Session, app: &AppName) -> Result<(), CliError> {
    if !prompt::can_ask() {
        return Err(CliError::Usage(format!(
            "there is no terminal to ask on: `rac rm {app} --yes` deletes without asking"
        )));
    }
    let server = session.server();
    let question = format!(
        "This deletes {app} at {server} with all its releases, images and settings.\n\
         Type its name to go on: "
    );
    if prompt::line(question).await? == app.as_str() {
        return Ok(());
    }
    Err(CliError::Usage(format!("that is not {app}: nothing was deleted")))
}
