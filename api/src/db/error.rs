use std::error::Error;

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Its URL is of no database that RAC works with. The URL is not shown: it may hold a password.
    #[error(
        "the database's URL is none: write postgres://USER:PASSWORD@HOST/NAME, or \
         sqlite://PATH?mode=rwc"
    )]
    BadUrl,
    /// Within the time that a start may take, there was no server, or only a standby.
    #[error(
        "no PostgreSQL server that takes writes answers: see that it runs, and that DATABASE_URL \
         leads to it"
    )]
    Away,
    /// A statement failed, or the database cannot be reached.
    #[error("could not {action}")]
    Failed {
        /// What was being done.
        action: &'static str,
        /// The cause.
        source: sqlx::Error,
    },
    /// Another API does the background work by now.
    #[error("another API does the background work now")]
    Fenced,
    /// A row holds what this program would not have written.
    #[error("the database holds a {what} that is none")]
    Corrupt {
        /// The column.
        what: &'static str,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl DbError {
    pub(crate) fn during(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Failed { action, source }
    }

    pub(crate) fn corrupt<E: Into<Box<dyn Error + Send + Sync>>>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Corrupt { what, source: source.into() }
    }

    /// Whether trying again may help: the database is away, locked, busy or full. What is lasting
    /// is a fault of RAC's, or of what is in the database.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Failed { source: sqlx::Error::Database(error), .. } => {
                error.code().is_some_and(|code| is_passing(&code))
            }
            Self::Failed { source, .. } => matches!(
                source,
                sqlx::Error::Io(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::BeginFailed
            ),
            Self::Away | Self::Fenced => true,
            Self::BadUrl | Self::Corrupt { .. } => false,
        }
    }

    /// Whether another connection may lead to a server that does it: this one is gone, or leads to
    /// one that only reads. Whether a commit came to be is not known then.
    pub(crate) fn is_lost_connection(&self) -> bool {
        let Self::Failed { source, .. } = self else { return false };
        match source {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                code.starts_with("08") || code.starts_with("57P") || code == "25006"
            }),
            _ => false,
        }
    }
}

/// Codes of PostgreSQL have five characters; those of SQLite are small numbers.
fn is_passing(code: &str) -> bool {
    if code.len() == 5 {
        // Connection, conflict of transactions, resources, operator, system; locked; a standby.
        let classes = ["08", "40", "53", "57", "58"];
        return code == "55P03" || code == "25006" || classes.iter().any(|c| code.starts_with(c));
    }
    // The low byte is the kind: busy, locked, out of memory, read-only, interrupted, input and
    // output, full, cannot open, locking protocol.
    let kind = code.parse::<u32>().unwrap_or_default() & 0xff;
    [5, 6, 7, 8, 9, 10, 13, 14, 15].contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_lasts() {
        for code in ["08006", "40001", "53300", "55P03", "57P01", "25006", "5", "261", "13", "778"]
        {
            assert!(is_passing(code), "{code}");
        }
        for code in ["23505", "42601", "22P02", "25P02", "1", "19", "1555", "2067", ""] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
