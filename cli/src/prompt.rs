//! What is asked of the person at the terminal, or read from standard input.

mod echo;

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use crate::error::CliError;

pub(crate) use echo::restore;

/// The longest value that is read from standard input.
const MAX_VALUE: u64 = 64 << 10;

/// Whether somebody can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line.
pub(crate) async fn line(question: String) -> Result<String, CliError> {
    off_the_runtime(move || {
        write!(io::stderr().lock(), "{question}")?;
        io::stderr().lock().flush()?;
        let mut line = String::new();
        match io::stdin().lock().take(MAX_VALUE).read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim().to_owned()),
        }
    })
    .await
}

/// Asks for a secret, which is not shown.
pub(crate) async fn secret(question: &str) -> Result<String, CliError> {
    let question = format!("{question}: ");
    echo::hide();
    let secret = off_the_runtime(move || rpassword::prompt_password(question)).await;
    // Where the command is interrupted, `main` does this.
    restore();
    secret
}

/// A password that is there: from standard input where that is wanted, else asked for.
pub(crate) async fn password(question: &str, stdin: bool) -> Result<String, CliError> {
    if stdin {
        return value_from_stdin().await;
    }
    if !can_ask() {
        return Err(CliError::Usage(
            "there is no terminal to ask for the password on: use --password-stdin".to_owned(),
        ));
    }
    secret(question).await
}

/// A new password: asked for twice.
pub(crate) async fn new_password(question: &str, stdin: bool) -> Result<String, CliError> {
    let first = password(question, stdin).await?;
    if !stdin && first != secret("The same again").await? {
        return Err(CliError::Usage("the two are not the same: try again".to_owned()));
    }
    Ok(first)
}

/// A value: from standard input where that is no terminal, else asked for without showing it.
pub(crate) async fn value(question: &str) -> Result<String, CliError> {
    if io::stdin().is_terminal() { secret(question).await } else { value_from_stdin().await }
}

/// Everything on standard input, without the last line's end.
pub(crate) async fn value_from_stdin() -> Result<String, CliError> {
    let text = off_the_runtime(|| {
        let mut text = String::new();
        io::stdin().lock().take(MAX_VALUE + 1).read_to_string(&mut text)?;
        Ok(text)
    })
    .await?;
    if text.len() as u64 > MAX_VALUE {
        return Err(CliError::Usage("standard input holds more than a value".to_owned()));
    }
    Ok(without_line_end(&text).to_owned())
}

/// Two lines on standard input.
pub(crate) async fn two_lines_from_stdin() -> Result<(String, String), CliError> {
    let text = value_from_stdin().await?;
    let lines = text
        .split_once('\n')
        .map(|(one, two)| (without_line_end(one).to_owned(), without_line_end(two).to_owned()));
    lines.ok_or_else(|| {
        CliError::Usage(
            "write two lines to standard input: the password as it is, and as it shall be"
                .to_owned(),
        )
    })
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Reads where it does not keep Ctrl-C from being heard.
async fn off_the_runtime<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, CliError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Err(CliError::Interrupted),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(CliError::Usage("nothing was written: try again".to_owned()))
        }
        Ok(Err(error)) => Err(CliError::here("the input cannot be read", &error)),
        Err(error) => Err(CliError::here("the input cannot be read", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_end_is_no_part_of_a_value() {
        for (text, value) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")]
        {
            assert_eq!(without_line_end(text), value, "{text:?}");
        }
    }
}
