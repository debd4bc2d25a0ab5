//! What of an app's state is shown in several places.

use rac_model::{App, Failure, InstanceState, InstanceStatus, Wake};

use super::exit;
use crate::output::table::{Column, Field, table};
use crate::output::text::{one_line, wrapped};
use crate::output::time::{ago, millis};
use crate::output::{Look, Paint};

/// What runs where; nothing where nothing does.
pub(in crate::commands) fn instances(apps: &[App], with_app: bool, look: &Look) -> Option<String> {
    let mut rows = Vec::new();
    for app in apps {
        for node in &app.nodes {
            for host in &node.hosts {
                let row = |instance| row(&node.node, host.host.as_str(), instance, look);
                rows.extend(host.instances.iter().map(row));
            }
        }
    }
    if rows.is_empty() {
        return None;
    }
    // A preview's label tells its app too.
    let first = if with_app { "APP" } else { "URL" };
    let columns = [
        Column::new(first),
        Column::new("NODE"),
        Column::new("STATE"),
        Column::new("RELEASE").right(),
        Column::new("IN FLIGHT").right().spare(2),
        Column::new("SINCE").spare(3),
        Column::new("INSTANCE").spare(1),
    ];
    Some(table(columns, rows, look))
}

fn row(node: &str, host: &str, instance: &InstanceStatus, look: &Look) -> [Field; 7] {
    [
        host.into(),
        node.into(),
        state(instance.state),
        format!("#{}", instance.release).into(),
        instance.in_flight.into(),
        Field::or_dash(instance.since.as_ref().map(|at| ago(at, look.now))),
        (&instance.id).into(),
    ]
}

fn state(state: InstanceState) -> Field {
    match state {
        InstanceState::Created => "created".into(),
        InstanceState::Running => Field::from("running").painted(Paint::Good),
        InstanceState::Frozen => Field::from("frozen").painted(Paint::Dim),
        InstanceState::Stopped => Field::from("stopped").painted(Paint::Dim),
    }
}

/// The last wakes on all nodes, the newest first; nothing where there was none.
pub(in crate::commands) fn wake_table(app: &App, most: usize, look: &Look) -> Option<String> {
    let mut wakes: Vec<(&str, &str, &Wake)> = Vec::new();
    for node in &app.nodes {
        for host in &node.hosts {
            let of_host = |wake| (node.node.as_str(), host.host.as_str(), wake);
            wakes.extend(host.wakes.iter().map(of_host));
        }
    }
    if wakes.is_empty() {
        return None;
    }
    // RFC 3339 in UTC sorts as text.
    wakes.sort_by(|(_, _, a), (_, _, b)| b.at.cmp(&a.at));
    wakes.truncate(most);
    let columns = [
        Column::new("WHEN"),
        Column::new("WHAT"),
        Column::new("WAITED").right(),
        Column::new("QUEUE").right().spare(2),
        Column::new("START").right().spare(2),
        Column::new("READY").right().spare(2),
        Column::new("WAITING").right().spare(3),
        Column::new("RELEASE").right().spare(4),
        Column::new("URL").spare(6),
        Column::new("NODE").spare(5),
        Column::new("CLIENT").spare(7),
        Column::new("REQUEST").spare(1),
    ];
    let rows = wakes.into_iter().map(|(node, host, wake)| wake_row(node, host, wake, look));
    Some(table(columns, rows.collect(), look))
}

fn wake_row(node: &str, host: &str, wake: &Wake, look: &Look) -> [Field; 12] {
    let what = if wake.from == InstanceState::Frozen { "thaw" } else { "start" };
    let waited = wake.waited_ms.map(millis);
    [
        ago(&wake.at, look.now).into(),
        what.into(),
        Field::or_dash(waited).painted(Paint::Bold),
        millis(wake.queue_ms).into(),
        millis(wake.start_ms).into(),
        millis(wake.ready_ms).into(),
        wake.waiting.into(),
        format!("#{}", wake.release).into(),
        host.into(),
        node.into(),
        Field::or_dash(wake.client.as_ref()),
        Field::or_dash(wake.request.as_ref()),
    ]
}

/// A failure, and what the app wrote last.
pub(super) fn failure(node: &str, host: &str, failure: &Failure, look: &Look) -> String {
    let code = look.paint(Paint::Bad, failure.code.as_str());
    let when = ago(&failure.at, look.now);
    let place = format!("{}, on {}", one_line(host), one_line(node));
    let mut lines = vec![
        format!("  {code} {when}, release #{}{} ({place})", failure.release, exit(failure)),
        wrapped(&format!("  {}", one_line(&failure.message)), 2, look.width),
    ];
    let bar = look.paint(Paint::Dim, "|");
    lines.extend(failure.log.iter().map(|line| format!("    {bar} {}", one_line(line))));
    lines.join("\n")
}
