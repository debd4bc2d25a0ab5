//! `rac domains`.

use rac_model::{Domain, DomainList, DomainState};
use reqwest::Method;

use crate::args::{DomainArgs, DomainsCommand};
use crate::client::Path;
use crate::error::CliError;
use crate::output::table::{Column, Field, table};
use crate::output::text::one_line;
use crate::output::time::ago;
use crate::output::{Look, Paint};
use crate::session::Session;

pub(super) async fn run(session: &Session, command: DomainsCommand) -> Result<(), CliError> {
    session.client.need_login()?;
    let client = &session.client;
    let domain: Domain = match &command {
        DomainsCommand::Add(args) => {
            let nothing = serde_json::json!({});
            client.send(Method::PUT, &path(args), &nothing).await?
        }
        DomainsCommand::Verify(args) => {
            let path = Path::app(&args.app, ["domains", &args.domain, "verify"]);
            client.post(&path).await?
        }
        DomainsCommand::Rm(args) => {
            client.delete(&path(args)).await?;
            let sentence = format!("{} leads to {} no more", args.domain, args.app);
            return session.out.done(&sentence);
        }
        DomainsCommand::List(args) => {
            let list: DomainList = client.get(&Path::app(&args.app, ["domains"])).await?;
            return session.out.show(&list, |look| listed(&list, look));
        }
    };
    session.out.show(&domain, |look| told(&domain, look))
}

fn path(args: &DomainArgs) -> Path {
    Path::app(&args.app, ["domains", &args.domain])
}

fn told(domain: &Domain, look: &Look) -> String {
    let name = one_line(&domain.domain);
    let checked = domain.checked.as_deref().map(one_line).unwrap_or_default();
    if domain.state == DomainState::Verified {
        let state = look.paint(Paint::Good, "verified");
        return format!("{name} is {state} {checked}").trim_end().to_owned();
    }
    let mut lines = vec![
        format!("{name} is not verified yet. Add one of these records where its DNS is kept:"),
        String::new(),
        format!("  {}  TXT    \"{}\"", one_line(&domain.txt_name), one_line(&domain.txt_value)),
        format!("  {name}  CNAME  {}", one_line(&domain.cname)),
        String::new(),
        "then `rac domains verify` looks at once; RAC also looks by itself.".to_owned(),
    ];
    if !checked.is_empty() {
        lines.push(format!("The last look: {checked}"));
    }
    lines.join("\n")
}

fn listed(list: &DomainList, look: &Look) -> String {
    if list.items.is_empty() {
        return "no domains: `rac domains add APP DOMAIN` adds one".to_owned();
    }
    let columns = [
        Column::new("DOMAIN"),
        Column::new("STATE"),
        Column::new("SINCE").spare(1),
        Column::new("LAST LOOK").spare(2),
    ];
    let row = |domain: &Domain| {
        let state = match domain.state {
            DomainState::Pending => Field::from("pending").painted(Paint::Warn),
            DomainState::Verified => Field::from("verified").painted(Paint::Good),
        };
        [
            (&domain.domain).into(),
            state,
            Field::or_dash(domain.verified_at.as_ref().map(|at| ago(at, look.now))),
            Field::or_dash(domain.checked.as_ref()),
        ]
    };
    table(columns, list.items.iter().map(row).collect(), look)
}
