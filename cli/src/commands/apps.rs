//! `rac apps`.

use rac_model::{App, AppList, Visibility};

use crate::args::Apps;
use crate::client::Path;
use crate::error::CliError;
use crate::output::table::{Column, Field, table};
use crate::output::time::ago;
use crate::output::{Look, Paint};
use crate::session::Session;

/// The most that the server gives at once.
const PAGE: usize = 100;

pub(super) async fn list(session: &Session, args: Apps) -> Result<(), CliError> {
    // Without a log-in nothing is one's own.
    let mine = !args.all && session.client.has_token();
    let apps = pages(session, mine, args.limit as usize).await?;
    session.out.show(&apps, |look| listed(&apps, mine, look))
}

/// The apps by name, at most `limit`.
pub(super) async fn pages(
    session: &Session,
    mine: bool,
    limit: usize,
) -> Result<AppList, CliError> {
    let mut apps = AppList { items: Vec::new(), next: None };
    loop {
        let page = (limit - apps.items.len()).min(PAGE);
        let mut query = vec![("limit", page.to_string())];
        query.extend(mine.then(|| ("mine", "true".to_owned())));
        query.extend(apps.next.take().map(|after| ("after", after)));
        let got: AppList = session.client.get_with(&Path::new(["apps"]), &query).await?;
        let more = !got.items.is_empty() && got.next.is_some();
        apps.items.extend(got.items);
        apps.next = got.next;
        if !more || apps.items.len() >= limit {
            return Ok(apps);
        }
    }
}

fn listed(apps: &AppList, mine: bool, look: &Look) -> String {
    if apps.items.is_empty() {
        let text = "no apps: `docker push` makes one, `rac claim` makes it yours";
        let all = if mine { "; `rac apps --all` shows those of others" } else { "" };
        return format!("{text}{all}");
    }
    let columns = [
        Column::new("APP"),
        Column::new("LIVE"),
        Column::new("PUSHED"),
        Column::new("OWNER").spare(2),
        Column::new("SEEN BY").spare(3),
        Column::new("ENDS").spare(4),
        Column::new("URL").spare(1),
    ];
    let table = table(columns, apps.items.iter().map(|app| row(app, look)).collect(), look);
    match apps.next {
        Some(_) => format!("{table}\n… and more: -n says how many"),
        None => table,
    }
}

fn row(app: &App, look: &Look) -> [Field; 7] {
    let live = match &app.release {
        _ if app.stopped => Field::from("stopped").painted(Paint::Warn),
        Some(release) => format!("#{} {}", release.number, release.tag).into(),
        None => Field::from("none").painted(Paint::Warn),
    };
    let seen = match app.visibility {
        Visibility::Public => "everybody",
        Visibility::Private => "members",
    };
    [
        Field::from(&app.name).painted(Paint::Bold),
        live,
        ago(&app.pushed_at, look.now).into(),
        Field::or_dash(app.owner.as_ref()),
        seen.into(),
        app.expires_at.as_ref().map_or_else(
            || Field::or_dash(None::<&str>),
            |at| Field::from(ago(at, look.now)).painted(Paint::Warn),
        ),
        (&app.url).into(),
    ]
}
