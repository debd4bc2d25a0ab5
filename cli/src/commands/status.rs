//! `rac status`: how an app is, on one screen.

mod parts;

use rac_model::{App, Failure, Role};

use crate::args::Status;
use crate::client::Path;
use crate::error::CliError;
use crate::output::text::{one_line, wrapped};
use crate::output::time::{ago, bytes};
use crate::output::{Look, Paint};
use crate::session::Session;

use super::releases::short;

pub(super) use parts::{instances, wake_table};

pub(super) async fn show(session: &Session, args: Status) -> Result<(), CliError> {
    let app: App = session.client.get(&Path::app(&args.app, [])).await?;
    session.out.show(&app, |look| status(&app, look))?;
    if args.check && !is_healthy(&app) { Err(CliError::Unhealthy) } else { Ok(()) }
}

/// Whether the app's own URL serves what is live, as far as is known.
fn is_healthy(app: &App) -> bool {
    let Some(release) = &app.release else { return false };
    let own = app.nodes.iter().flat_map(|node| &node.hosts);
    let own = own.filter(|host| host.host.as_str() == app.name.as_str());
    let failures = own.filter_map(|host| host.failure.as_ref());
    !app.stopped && failures.into_iter().all(|failure| failure.release != release.number)
}

fn status(app: &App, look: &Look) -> String {
    let mut sections = vec![head(app, look)];
    sections.extend(findings(app, look));
    sections.extend(failures(app, look));
    sections.extend(section("Instances", instances(std::slice::from_ref(app), false, look), look));
    sections.extend(section("Last wakes", wake_table(app, 5, look), look));
    sections.extend(previews(app, look));
    sections.join("\n\n")
}

fn section(title: &str, table: Option<String>, look: &Look) -> Option<String> {
    table.map(|table| format!("{}\n{table}", look.paint(Paint::Bold, title)))
}

fn head(app: &App, look: &Look) -> String {
    let name = look.paint(Paint::Bold, app.name.as_str());
    let mut lines = vec![format!("{name}  {}", one_line(&app.url)), release(app, look), owner(app)];
    if app.stopped {
        let how = format!("stopped: `rac start {}` lets it be woken again", app.name);
        lines.push(format!("  state     {}", look.paint(Paint::Warn, &how)));
    }
    if let Some(max) = app.scale_max {
        lines.push(format!("  scale     at most {max} on a node, by `rac scale`"));
    }
    if let Some(at) = &app.expires_at {
        let when = ago(at, look.now);
        let how = format!("{when}, unless it is pushed again or claimed: `rac claim {}`", app.name);
        lines.push(format!("  ends      {}", look.paint(Paint::Warn, &how)));
    }
    lines.join("\n")
}

fn release(app: &App, look: &Look) -> String {
    let Some(release) = &app.release else {
        let none = look.paint(Paint::Warn, "none is live");
        return format!("  release   {none}: `rac releases {}` says why", app.name);
    };
    let by = release.pushed_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    format!(
        "  release   #{} {}, pushed {}{by}, {}, {}",
        release.number,
        release.tag,
        ago(&release.pushed_at, look.now),
        bytes(release.size),
        short(&release.digest)
    )
}

fn owner(app: &App) -> String {
    let Some(owner) = &app.owner else {
        return "  owner     nobody: everybody may push to it".to_owned();
    };
    let you = match app.your_role {
        Some(Role::Owner) => " (you)".to_owned(),
        Some(role) => format!(" (your role: {})", role.as_str()),
        None => String::new(),
    };
    let seen = match app.visibility {
        rac_model::Visibility::Public => "public",
        rac_model::Visibility::Private => "private",
    };
    let opened = match app.url_access {
        rac_model::UrlAccess::Public => "",
        rac_model::UrlAccess::Login => ", URLs ask for a log-in",
    };
    format!("  owner     {owner}{you}, {seen}{opened}")
}

fn findings(app: &App, look: &Look) -> Option<String> {
    let findings = &app.release.as_ref()?.findings;
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            let code = look.paint(Paint::Warn, &one_line(&finding.code));
            let message = wrapped(&format!("    {}", one_line(&finding.message)), 4, look.width);
            format!("  {code}\n{message}")
        })
        .collect();
    section("Findings", (!lines.is_empty()).then(|| lines.join("\n")), look)
}

fn failures(app: &App, look: &Look) -> Option<String> {
    let mut texts = Vec::new();
    for node in &app.nodes {
        for host in &node.hosts {
            let Some(failure) = &host.failure else { continue };
            texts.push(parts::failure(&node.node, host.host.as_str(), failure, look));
        }
    }
    section("What went wrong", (!texts.is_empty()).then(|| texts.join("\n")), look)
}

fn previews(app: &App, look: &Look) -> Option<String> {
    let lines: Vec<String> = app
        .previews
        .iter()
        .map(|preview| {
            format!("  {} #{}  {}", preview.tag, preview.release, one_line(&preview.url))
        })
        .collect();
    section("Previews", (!lines.is_empty()).then(|| lines.join("\n")), look)
}

/// How the app ended, where it did.
fn exit(failure: &Failure) -> String {
    match failure.exit_code {
        Some(code @ 129..=192) => format!(", exit code {code} (signal {})", code - 128),
        Some(code) => format!(", exit code {code}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
