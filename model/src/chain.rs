use std::error::Error;
use std::fmt;

/// Prints an error and everything that caused it, on one line.
///
/// The JSON log of `tracing-subscriber` drops sources silently, so every log line that has an error
/// says `error = %Chain(&error)`.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
