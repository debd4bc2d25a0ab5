//! `rac why`: who waited how long, for what.

use rac_model::{App, Wake};
use serde::Serialize;

use super::status::wake_table;
use crate::args::Why;
use crate::client::Path;
use crate::error::CliError;
use crate::output::Look;
use crate::output::text::wrapped;
use crate::output::time::millis;
use crate::session::Session;

#[derive(Serialize)]
struct Wakes {
    items: Vec<NodeWake>,
}

/// A wake, and where it was.
#[derive(Serialize)]
struct NodeWake {
    node: String,
    host: String,
    #[serde(flatten)]
    wake: Wake,
}

pub(super) async fn show(session: &Session, args: Why) -> Result<(), CliError> {
    let app: App = session.client.get(&Path::app(&args.app, [])).await?;
    let wakes = wakes(&app, args.limit);
    session.out.show(&wakes, |look| told(&app, &wakes, args.limit, look))
}

/// The newest first.
fn wakes(app: &App, most: usize) -> Wakes {
    let mut items = Vec::new();
    for node in &app.nodes {
        for host in &node.hosts {
            items.extend(host.wakes.iter().map(|wake| NodeWake {
                node: node.node.clone(),
                host: host.host.to_string(),
                wake: wake.clone(),
            }));
        }
    }
    items.sort_by(|a, b| b.wake.at.cmp(&a.wake.at));
    items.truncate(most);
    Wakes { items }
}

fn told(app: &App, wakes: &Wakes, most: usize, look: &Look) -> String {
    let Some(table) = wake_table(app, most, look) else {
        return format!(
            "nobody had to wait for {}: no node has woken it since it was started",
            app.name
        );
    };
    let waited = wakes.items.iter().filter_map(|wake| wake.wake.waited_ms);
    let longest = waited.reduce(f64::max);
    let longest = longest.map(|ms| format!("The longest wait was {}. ", millis(ms)));
    let legend = format!(
        "{}QUEUE is until the start began, START until the container ran, READY until the app took \
         a connection; WAITED is all of it and the app's own answer.",
        longest.unwrap_or_default()
    );
    format!("{table}\n\n{}", wrapped(&legend, 0, look.width))
}
