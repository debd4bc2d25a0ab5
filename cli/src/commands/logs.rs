//! `rac logs`.

use std::time::{SystemTime, UNIX_EPOCH};

use rac_model::{LogLine, LogList, LogStream};

use crate::args::{LogFormat, Logs};
use crate::client::{Item, Path};
use crate::error::CliError;
use crate::output::text::{harmless, one_line};
use crate::output::time::clock;
use crate::output::{Look, Paint};
use crate::session::Session;

pub(super) async fn print(session: &Session, args: Logs) -> Result<(), CliError> {
    let query = query(&args);
    if args.follow {
        return follow(session, &args, query).await;
    }
    let path = Path::app(&args.app, ["logs"]);
    let list: LogList = session.client.get_with(&path, &query).await?;
    if session.out.json && args.output == LogFormat::Text {
        return session.out.document(&list);
    }
    for line in &list.items {
        show(session, &args, line)?;
    }
    if list.items.is_empty() {
        session.out.note(&format!("{} has written nothing that is kept", args.app));
    }
    Ok(())
}

fn query(args: &Logs) -> Vec<(&'static str, String)> {
    let millis = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string()
    };
    let mut query = vec![("lines", args.lines.to_string())];
    query.extend(args.since.map(|since| ("since", millis(since))));
    query.extend(args.release.map(|release| ("release", release.to_string())));
    query
}

async fn follow(
    session: &Session,
    args: &Logs,
    query: Vec<(&'static str, String)>,
) -> Result<(), CliError> {
    let path = Path::app(&args.app, ["logs", "follow"]);
    let mut follow = session.client.follow(&path, query);
    loop {
        match follow.next().await? {
            Item::Data(data) => {
                let line: LogLine = serde_json::from_str(&data).map_err(|error| {
                    CliError::BadAnswer(format!("a line of the log cannot be read: {error}"))
                })?;
                show(session, args, &line)?;
            }
            Item::Lost(why) => session.out.warn(&format!("{why}; trying again")),
            Item::Back => session.out.note("connected again"),
        }
    }
}

fn show(session: &Session, args: &Logs, line: &LogLine) -> Result<(), CliError> {
    if session.out.json || args.output == LogFormat::Json {
        return session.out.document_line(line);
    }
    session.out.text(&format!("{}\n", told(line, args.long, &session.out.look)))
}

fn told(line: &LogLine, long: bool, look: &Look) -> String {
    let text = harmless(&line.text, look);
    let text = match line.stream {
        // What RAC says of the app is not the app's own word.
        LogStream::Rac => look.paint(Paint::Dim, &format!("[rac] {text}")),
        LogStream::Stdout | LogStream::Stderr => text.into_owned(),
    };
    if !long {
        return text;
    }
    let stream = match line.stream {
        LogStream::Stdout => "out",
        LogStream::Stderr => "err",
        LogStream::Rac => "rac",
    };
    let (node, host) = (one_line(&line.node), &line.host);
    let place = format!("{} {node} {host}#{} {stream}", clock(&line.at), line.release);
    format!("{} {text}", look.paint(Paint::Dim, &place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::look;

    fn line(stream: LogStream, text: &str) -> LogLine {
        LogLine {
            at: "2026-11-21T11:59:00.25Z".to_owned(),
            node: "edge-1".to_owned(),
            host: rac_model::HostLabel::of_app(&"shop".parse().unwrap()),
            release: 7,
            instance: "shop-1".to_owned(),
            stream,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_line_is_what_the_app_wrote() {
        let line = line(LogStream::Stdout, "hello \u{1b}[31mred");
        assert_eq!(told(&line, false, &look(None)), "hello \u{1b}[31mred");
        assert_eq!(told(&line, false, &look(Some(80))), "hello red");
    }

    #[test]
    fn a_long_line_begins_with_when_and_where() {
        let line = line(LogStream::Stderr, "x");
        assert_eq!(told(&line, true, &look(None)), "11:59:00.250 edge-1 shop#7 err x");
    }

    #[test]
    fn what_rac_says_is_told_apart() {
        assert_eq!(told(&line(LogStream::Rac, "frozen"), false, &look(None)), "[rac] frozen");
    }
}
