//! What every command works with.

use reqwest::Url;

use crate::args::Global;
use crate::client::Client;
use crate::environment::Environment;
use crate::error::CliError;
use crate::logins::{LoginFile, Logins};
use crate::output::Output;
use crate::server;

/// A server, who asks it, and where the answer is printed.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) out: Output,
    pub(crate) file: LoginFile,
    /// What was remembered when the command began.
    pub(crate) logins: Logins,
    pub(crate) environment: Environment,
}

impl Session {
    /// Chooses the server, and takes its token.
    pub(crate) fn new(
        global: &Global,
        environment: Environment,
        out: Output,
    ) -> Result<Self, CliError> {
        let file = LoginFile::new(&environment)?;
        let logins = file.read()?;
        let server: Url =
            server::choose(global.server.clone(), &logins).map_err(CliError::Usage)?;
        let remembered = logins.at(&server::name(&server)).map(|login| login.token.clone());
        let token = environment.token.clone().or(remembered);
        let client = Client::new(server, token)?;
        Ok(Self { client, out, file, logins, environment })
    }

    /// What the server is called.
    pub(crate) fn server(&self) -> String {
        self.client.server()
    }
}
