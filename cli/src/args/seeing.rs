use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use rac_model::{AppName, Tag};

/// `rac apps`.
#[derive(Debug, Args)]
pub(crate) struct Apps {
    /// All that you may see, not only those that you have a part in
    #[arg(long, short)]
    pub(crate) all: bool,
    /// How many, by name
    #[arg(short = 'n', long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

/// `rac status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The app
    pub(crate) app: AppName,
    /// End with exit code 8 where it cannot serve
    #[arg(long)]
    pub(crate) check: bool,
}

/// `rac ps`.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// The app; all of yours where it is missing
    pub(crate) app: Option<AppName>,
}

/// `rac logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The app
    pub(crate) app: AppName,
    /// Go on with what is written from now on, until you press Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only lines since then: `1h`, `10m`, or a time like `2026-01-31T08:00:00Z`
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(crate) since: Option<SystemTime>,
    /// How many lines of what was written before
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) lines: u32,
    /// Only those of this release
    #[arg(long, value_name = "N")]
    pub(crate) release: Option<u64>,
    /// As text, or as JSON: a line each
    #[arg(short, long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) output: LogFormat,
    /// Begin each line with its time, node and release
    #[arg(long, short)]
    pub(crate) long: bool,
}

/// How log lines are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// What the app wrote
    Text,
    /// A JSON object for each line
    Json,
}

/// `rac why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The app
    pub(crate) app: AppName,
    /// How many wakes
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(crate) limit: usize,
}

/// `rac open`.
#[derive(Debug, Args)]
pub(crate) struct Open {
    /// The app
    pub(crate) app: AppName,
    /// The preview of this tag
    #[arg(long)]
    pub(crate) tag: Option<Tag>,
    /// Only print the URL
    #[arg(long, short)]
    pub(crate) print: bool,
}

/// `rac events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// The app; everything of yours where it is missing
    pub(crate) app: Option<AppName>,
    /// Go on with what happens from now on, until you press Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many of what happened before
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) limit: u32,
}

/// A time, or how long ago.
fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let ago = ago.min(Duration::from_secs(365 * 24 * 60 * 60));
        return SystemTime::now().checked_sub(ago).ok_or_else(|| "that is too long ago".to_owned());
    }
    humantime::parse_rfc3339_weak(text).map_err(|_| {
        "write how long ago, such as 1h or 10m, or a time such as 2026-01-31T08:00:00Z".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_a_duration_or_a_time() {
        let hour = SystemTime::now().duration_since(since("1h").unwrap()).unwrap();
        assert!((3_500..3_700).contains(&hour.as_secs()));
        let time = since("1970-01-02T00:00:00Z").unwrap();
        assert_eq!(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 86_400);
        for bad in ["", "yesterday", "-1h", "99"] {
            assert!(since(bad).is_err(), "{bad:?}");
        }
    }
}
