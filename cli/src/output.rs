//! What is printed, and how it looks.

mod progress;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;

use std::io::{self, IsTerminal as _, Write};

use ::time::OffsetDateTime;
use comfy_table::Table;
use serde::Serialize;

use crate::environment::Environment;
use crate::error::CliError;

pub(crate) use progress::{sign, waiting};

/// How what is printed for people looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// The columns of the terminal; absent where there is none: then nothing is fitted.
    pub(crate) width: Option<u16>,
    /// Whether to use colours.
    pub(crate) colour: bool,
    /// Whether a terminal shows it, which must not get a stranger's control characters.
    pub(crate) terminal: bool,
    /// What "3 min ago" is counted from.
    pub(crate) now: OffsetDateTime,
}

/// What a colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// What matters most.
    Bold,
    /// What matters least.
    Dim,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Broken.
    Bad,
}

impl Look {
    /// A text in a colour.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Bold => 1,
            Paint::Dim => 2,
            Paint::Good => 32,
            Paint::Warn => 33,
            Paint::Bad => 31,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Where a command prints.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// How it looks.
    pub(crate) look: Look,
    /// Whether documents are wanted.
    pub(crate) json: bool,
    error_look: Look,
}

impl Output {
    /// The standard output and standard error.
    pub(crate) fn new(environment: &Environment, json: bool) -> Self {
        let now = OffsetDateTime::now_utc();
        let look = |terminal: bool, width: Option<u16>| Look {
            width: if terminal { width } else { None },
            colour: terminal && !environment.no_color,
            terminal,
            now,
        };
        let out = look(io::stdout().is_terminal(), Table::new().width());
        Self {
            look: out,
            json,
            error_look: look(io::stderr().is_terminal(), Table::new().use_stderr().width()),
        }
    }

    /// Shows something: as a document, or as people read it.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&Look) -> String,
    ) -> Result<(), CliError> {
        if self.json { self.document(value) } else { self.text(&text(&self.look)) }
    }

    /// Says that something was done; nothing where documents are wanted.
    pub(crate) fn done(&self, sentence: &str) -> Result<(), CliError> {
        if self.json { Ok(()) } else { self.text(sentence) }
    }

    /// Prints a document.
    pub(crate) fn document<T: Serialize>(&self, value: &T) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from);
        self.text(&text.map_err(CliError::Output)?)
    }

    /// Prints a document on one line, as follow modes do.
    pub(crate) fn document_line<T: Serialize>(&self, value: &T) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(io::Error::from);
        self.text(&text.map_err(CliError::Output)?)
    }

    /// Prints lines.
    pub(crate) fn text(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        out.write_all(format!("{text}{end}").as_bytes())
            .and_then(|()| out.flush())
            .map_err(CliError::Output)
    }

    /// Tells people something that is no result, beside the output.
    pub(crate) fn note(&self, sentence: &str) {
        let sentence = self.told(sentence);
        say(&self.error_look.paint(Paint::Dim, &sentence));
    }

    /// Warns people.
    pub(crate) fn warn(&self, sentence: &str) {
        self.say_of(Paint::Warn, "warning:", sentence);
    }

    /// Says why nothing came of it.
    pub(crate) fn error(&self, error: &CliError) {
        if error.is_silent() {
            return;
        }
        if self.json {
            return say(&error.document().to_string());
        }
        self.say_of(Paint::Bad, "error:", &error.to_string());
    }

    fn say_of(&self, paint: Paint, kind: &str, sentence: &str) {
        let whole = self.told(&format!("{kind} {sentence}"));
        let sentence = whole.strip_prefix(kind).unwrap_or_default();
        say(&format!("{}{sentence}", self.error_look.paint(paint, kind)));
    }

    /// A sentence as standard error gets it.
    fn told(&self, sentence: &str) -> String {
        let sentence = text::harmless(sentence, &self.error_look);
        text::wrapped(&sentence, 0, self.error_look.width)
    }
}

/// Writes to standard error; where that cannot be written, nobody can be told.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
pub(crate) mod tests {
    use ::time::macros::datetime;

    use super::*;

    /// A look without a terminal, or with one of these columns.
    pub(crate) fn look(width: Option<u16>) -> Look {
        let now = datetime!(2026-11-21 12:00 UTC);
        Look { width, colour: false, terminal: width.is_some(), now }
    }

    #[test]
    fn colours_are_used_only_where_they_are_wanted() {
        assert_eq!(look(None).paint(Paint::Bad, "x"), "x");
        let colour = Look { colour: true, ..look(Some(80)) };
        assert_eq!(colour.paint(Paint::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(colour.paint(Paint::Bad, ""), "");
    }
}
