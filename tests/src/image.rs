use std::fmt::Display;

/// The Dockerfile of an image with the test app (`tests/app`).
#[derive(Debug, Clone)]
pub struct Image {
    dockerfile: String,
    files: Vec<(String, Vec<u8>)>,
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    /// The app, which serves on the port it is given, and ends at once when it is stopped.
    pub fn new() -> Self {
        Self::deaf().line("STOPSIGNAL SIGKILL")
    }

    /// The app, which does not hear its stop signal.
    pub fn deaf() -> Self {
        let dockerfile = "FROM scratch\nCOPY app /app\nCMD [\"/app\"]\n".to_owned();
        Self { dockerfile, files: Vec::new() }
    }

    /// Adds a line to the Dockerfile.
    pub fn line(mut self, line: impl Display) -> Self {
        self.dockerfile.push_str(&format!("{line}\n"));
        self
    }

    /// What `/version` answers.
    pub fn version(self, version: &str) -> Self {
        self.env("VERSION", version)
    }

    /// Sets a variable of the app's environment.
    pub fn env(self, name: &str, value: &str) -> Self {
        self.line(format_args!("ENV {name}=\"{value}\""))
    }

    /// Sets a label: `freeze` is `rac.freeze`.
    pub fn label(self, name: &str, value: &str) -> Self {
        self.line(format_args!("LABEL rac.{name}=\"{value}\""))
    }

    /// Says on which port the app listens.
    pub fn expose(self, port: u16) -> Self {
        self.line(format_args!("EXPOSE {port}"))
    }

    /// Adds a file at the root of the image.
    pub fn file(mut self, name: &str, content: Vec<u8>) -> Self {
        self.files.push((name.to_owned(), content));
        self.line(format_args!("COPY {name} /{name}"))
    }

    pub(crate) fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    pub(crate) fn files(&self) -> &[(String, Vec<u8>)] {
        &self.files
    }
}
