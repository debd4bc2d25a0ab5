//! `rac events`.

use rac_model::{Event, EventList};

use crate::args::Events;
use crate::client::{Item, Path};
use crate::error::CliError;
use crate::output::table::{Column, Field, table};
use crate::output::text::one_line;
use crate::output::time::{ago, clock};
use crate::output::{Look, Paint};
use crate::session::Session;

/// The most that the server gives at once.
const PAGE: usize = 100;

pub(super) async fn print(session: &Session, args: Events) -> Result<(), CliError> {
    let list = pages(session, &args).await?;
    if args.follow {
        return follow(session, &args, list).await;
    }
    session.out.show(&list, |look| listed(&list, look))
}

fn about(args: &Events) -> Vec<(&'static str, String)> {
    args.app.iter().map(|app| ("app", app.to_string())).collect()
}

async fn pages(session: &Session, args: &Events) -> Result<EventList, CliError> {
    let limit = args.limit as usize;
    let mut list = EventList { items: Vec::new(), next: None };
    while list.items.len() < limit {
        let page = (limit - list.items.len()).min(PAGE);
        let mut query = about(args);
        query.push(("limit", page.to_string()));
        query.extend(list.next.take().map(|before| ("before", before)));
        let got: EventList = session.client.get_with(&Path::new(["events"]), &query).await?;
        let more = !got.items.is_empty() && got.next.is_some();
        list.items.extend(got.items);
        list.next = got.next;
        if !more {
            break;
        }
    }
    Ok(list)
}

/// What was before, the oldest first, and what happens from then on: without a gap, because the
/// server is told the last one.
async fn follow(session: &Session, args: &Events, before: EventList) -> Result<(), CliError> {
    let mut follow = session.client.follow(&Path::new(["events", "follow"]), about(args));
    if let Some(newest) = before.items.first() {
        follow = follow.after(newest.id.to_string());
    }
    for event in before.items.iter().rev() {
        show(session, event)?;
    }
    loop {
        match follow.next().await? {
            Item::Data(data) => {
                let event: Event = serde_json::from_str(&data).map_err(|error| {
                    CliError::BadAnswer(format!("an event cannot be read: {error}"))
                })?;
                show(session, &event)?;
            }
            Item::Lost(why) => session.out.warn(&format!("{why}; trying again")),
            Item::Back => session.out.note("connected again"),
        }
    }
}

fn show(session: &Session, event: &Event) -> Result<(), CliError> {
    if session.out.json {
        return session.out.document_line(event);
    }
    session.out.text(&told(event, &session.out.look))
}

fn told(event: &Event, look: &Look) -> String {
    let day = event.at.get(..10).map(one_line).unwrap_or_default();
    let when = look.paint(Paint::Dim, &format!("{day} {}", clock(&event.at)));
    format!("{when} {} {}", one_line(&event.kind), one_line(&event.message))
}

fn listed(list: &EventList, look: &Look) -> String {
    if list.items.is_empty() {
        return "nothing has happened yet".to_owned();
    }
    let columns = [
        Column::new("WHEN"),
        Column::new("KIND").spare(2),
        Column::new("WHO").spare(3),
        Column::new("APP").spare(4),
        Column::new("WHAT"),
        Column::new("N").right().spare(5),
    ];
    let row = |event: &Event| {
        [
            ago(&event.at, look.now).into(),
            (&event.kind).into(),
            Field::or_dash(event.actor.as_ref()),
            Field::or_dash(event.app.as_ref()),
            (&event.message).into(),
            event.id.into(),
        ]
    };
    let table = table(columns, list.items.iter().map(row).collect(), look);
    match list.next {
        Some(_) => format!("{table}\n… and more: -n says how many"),
        None => table,
    }
}
