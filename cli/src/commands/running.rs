//! Whether and how much of an app may run.

use rac_model::{App, AppName, Commanded, Scale, SettingsChanged};
use reqwest::Method;

use crate::args::ScaleArgs;
use crate::client::Path;
use crate::commands::env;
use crate::error::CliError;
use crate::session::Session;

/// A command to the nodes: its name, and what it did.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeCommand {
    name: &'static str,
    done: &'static str,
    nothing: &'static str,
}

/// `rac restart`.
pub(super) const RESTART: NodeCommand = NodeCommand {
    name: "restart",
    done: "restarted",
    nothing: "nothing of it runs: the next request starts it",
};

/// `rac freeze`.
pub(super) const FREEZE: NodeCommand =
    NodeCommand { name: "freeze", done: "frozen", nothing: "nothing of it runs" };

pub(super) async fn scale(session: &Session, args: ScaleArgs) -> Result<(), CliError> {
    session.client.need_login()?;
    let body = Scale { max: args.max.0 };
    let path = Path::app(&args.app, ["scale"]);
    let changed: SettingsChanged = session.client.send(Method::PUT, &path, &body).await?;
    session.out.show(&changed, |_| env::told(&args.app, &changed))
}

pub(super) async fn stop(session: &Session, app: &AppName) -> Result<(), CliError> {
    let app: App = session.client.post(&Path::app(app, ["stop"])).await?;
    session.out.show(&app, |_| {
        let name = &app.name;
        format!("{name} is stopped: it is not woken until `rac start {name}`")
    })
}

pub(super) async fn start(session: &Session, app: &AppName) -> Result<(), CliError> {
    let app: App = session.client.post(&Path::app(app, ["start"])).await?;
    session.out.show(&app, |_| format!("{} can be woken: {}", app.name, app.url))
}

pub(super) async fn command(
    session: &Session,
    app: &AppName,
    command: NodeCommand,
) -> Result<(), CliError> {
    let told: Commanded = session.client.post(&Path::app(app, [command.name])).await?;
    session.out.show(&told, |_| {
        let at_work = told.nodes.iter().filter(|node| node.instances > 0);
        let lines: Vec<String> = at_work
            .map(|node| {
                let plural = if node.instances == 1 { "instance" } else { "instances" };
                format!("{} {plural} on {} {}", node.instances, node.node, command.done)
            })
            .collect();
        if lines.is_empty() { format!("{app}: {}", command.nothing) } else { lines.join("\n") }
    })
}
