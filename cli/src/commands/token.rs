//! `rac token`.

use std::io::IsTerminal as _;

use rac_model::{CreatedToken, NewToken, Scope, Token, TokenList};
use reqwest::Method;

use crate::args::{TokenCommand, TokenCreate};
use crate::client::Path;
use crate::error::CliError;
use crate::output::Look;
use crate::output::table::{Column, Field, table};
use crate::output::time::ago;
use crate::session::Session;

pub(super) async fn run(session: &Session, command: TokenCommand) -> Result<(), CliError> {
    session.client.need_login()?;
    match command {
        TokenCommand::Create(args) => create(session, args).await,
        TokenCommand::List => {
            let tokens: TokenList = session.client.get(&Path::new(["tokens"])).await?;
            session.out.show(&tokens, |look| listed(&tokens, look))
        }
        TokenCommand::Revoke { id } => {
            session.client.delete(&Path::new(["tokens", &id])).await?;
            session.out.done(&format!("the token {id} is revoked"))
        }
    }
}

/// The token alone goes to standard output, so that a script can take it from there.
async fn create(session: &Session, args: TokenCreate) -> Result<(), CliError> {
    let TokenCreate { name, scopes, app, days } = args;
    let wanted = NewToken { name, scopes, app, expires_in_days: Some(days) };
    let made: CreatedToken =
        session.client.send(Method::POST, &Path::new(["tokens"]), &wanted).await?;
    session.out.show(&made, |_| made.secret.clone())?;
    if !session.out.json && std::io::stdout().is_terminal() {
        session.out.note("It is shown this once: keep it where nobody else reads.");
    }
    Ok(())
}

fn listed(tokens: &TokenList, look: &Look) -> String {
    if tokens.items.is_empty() {
        return "no tokens: `rac token create NAME --scope push` makes one".to_owned();
    }
    let columns = [
        Column::new("ID"),
        Column::new("NAME"),
        Column::new("KIND").spare(4),
        Column::new("LAST").spare(6),
        Column::new("MAY").spare(1),
        Column::new("APP").spare(3),
        Column::new("MADE").spare(5),
        Column::new("USED").spare(2),
        Column::new("ENDS").spare(1),
    ];
    table(columns, tokens.items.iter().map(|token| row(token, look)).collect(), look)
}

fn row(token: &Token, look: &Look) -> [Field; 9] {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope: &Scope| scope.as_str()).collect();
    [
        (&token.id).into(),
        (&token.name).into(),
        (&token.kind).into(),
        format!("…{}", token.last4).into(),
        scopes.join(",").into(),
        Field::or_dash(token.app.as_ref()),
        ago(&token.created_at, look.now).into(),
        Field::or_dash(token.used_at.as_ref().map(|at| ago(at, look.now))),
        ago(&token.expires_at, look.now).into(),
    ]
}
