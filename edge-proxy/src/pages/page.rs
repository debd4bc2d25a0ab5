use rac_model::Problem;

use super::*;

/// Light and dark as the reader's system has it, and nothing to load.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto;padding:0 1.5rem}\
h1{font-size:1.5rem;margin:0 0 1rem}\
p{overflow-wrap:anywhere}\
pre{padding:1rem;border:1px solid #8886;border-radius:.5rem;white-space:pre-wrap}\
small{opacity:.6}";
/// Not even what got past the escaping could run.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// A page before it is known who reads it.
pub(super) struct Page {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    paragraphs: Vec<String>,
    command: Option<String>,
    refresh: bool,
}

impl Page {
    pub(super) fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self { status, code, title, paragraphs: Vec::new(), command: None, refresh: false }
    }

    pub(super) fn paragraph(mut self, text: String) -> Self {
        self.paragraphs.push(text);
        self
    }

    /// Ends the page with something to type.
    pub(super) fn command(mut self, command: String) -> Self {
        self.command = Some(command);
        self
    }

    /// Lets a browser load the page again after a second.
    pub(super) fn refresh(mut self) -> Self {
        self.refresh = true;
        self
    }

    pub(super) fn answer(self, reader: Reader) -> Answer {
        let (media_type, body) = match reader {
            Reader::Browser => ("text/html; charset=utf-8", self.html()),
            Reader::Program => ("text/plain; charset=utf-8", self.text()),
        };
        self.answer_with(reader, media_type, body)
    }

    /// For programs that read more than the header.
    pub(super) fn problem(self, detail: String) -> Answer {
        let problem = Problem {
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail,
            code: self.code.to_owned(),
        };
        let body = serde_json::to_string(&problem).unwrap_or_default();
        self.answer_with(Reader::Program, Problem::MEDIA_TYPE, body)
    }

    fn answer_with(self, reader: Reader, media_type: &'static str, body: String) -> Answer {
        let length = HeaderValue::from(body.len());
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if reader == Reader::Browser {
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        }
        headers.insert(RAC_ERROR, HeaderValue::from_static(self.code));
        answer
    }

    fn text(&self) -> String {
        let mut text: String =
            self.paragraphs.iter().map(|paragraph| printable(paragraph) + "\n").collect();
        if let Some(command) = &self.command {
            text.push_str(&format!("\n    {}\n", printable(command)));
        }
        text
    }

    fn html(&self) -> String {
        let title = escape(self.title);
        let refresh = if self.refresh { "<meta http-equiv=\"refresh\" content=\"1\">" } else { "" };
        let paragraphs: String =
            self.paragraphs.iter().map(|text| format!("<p>{}</p>\n", escape(text))).collect();
        let command = self.command.as_ref();
        let command = command.map(|command| format!("<pre>{}</pre>\n", escape(command)));
        format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"robots\" content=\"noindex\">{refresh}\
             <title>{title}</title><style>{STYLE}</style>\n\
             <h1>{title}</h1>\n{paragraphs}{command}<small>{status} {code}</small>\n</html>\n",
            command = command.unwrap_or_default(),
            status = self.status.as_u16(),
            code = self.code,
        )
    }
}

/// Takes what a text could do to a page out of it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Takes what a text could do to a terminal out of it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
