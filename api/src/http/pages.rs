//! The few pages that people see in a browser: a form to log in, and why they may not go on.
//!
//! They look like the edge's, load nothing, run nothing, and are never stored. What they repeat of
//! a request is escaped.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use crate::urls::Urls;

/// Light and dark as the reader's system has it, and nothing to load.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto;padding:0 1.5rem}\
h1{font-size:1.5rem;margin:0 0 1rem}\
p{overflow-wrap:anywhere}\
label{display:block;margin:1rem 0 .25rem}\
input{font:inherit;width:100%;max-width:20rem;box-sizing:border-box;padding:.5rem}\
button{font:inherit;margin:1.5rem 0;padding:.5rem 1.5rem}\
[role=alert]{border-left:.25rem solid #c33;padding-left:1rem}";

/// A page.
pub(super) struct Page {
    status: StatusCode,
    title: &'static str,
    body: String,
    /// Where its form may lead to, in the end.
    form_to: String,
}

impl Page {
    pub(super) fn new(status: StatusCode, title: &'static str) -> Self {
        Self { status, title, body: String::new(), form_to: "'none'".to_owned() }
    }

    pub(super) fn paragraph(mut self, text: &str) -> Self {
        self.body.push_str(&format!("<p>{}</p>\n", escape(text)));
        self
    }

    /// What went wrong, which is read out at once to who cannot see it.
    pub(super) fn alert(mut self, text: &str) -> Self {
        self.body.push_str(&format!("<p role=\"alert\">{}</p>\n", escape(text)));
        self
    }

    /// The form to log in with. After it the browser goes on to `back`, and from there perhaps to an
    /// app, which browsers hold against the policy for forms as well.
    pub(super) fn log_in_form(mut self, name: &str, back: &str, urls: &Urls) -> Self {
        let focus = |here: bool| if here { " autofocus" } else { "" };
        self.body.push_str(&format!(
            "<form method=\"post\" action=\"/login\">\n\
             <label for=\"name\">Name</label>\n\
             <input id=\"name\" name=\"name\" value=\"{name}\" autocomplete=\"username\" \
             autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"40\" required{name_focus}>\n\
             <label for=\"password\">Password</label>\n\
             <input id=\"password\" name=\"password\" type=\"password\" \
             autocomplete=\"current-password\" required{password_focus}>\n\
             <input type=\"hidden\" name=\"return\" value=\"{back}\">\n\
             <p><button>Log in</button></p>\n</form>\n",
            name = escape(name),
            back = escape(back),
            name_focus = focus(name.is_empty()),
            password_focus = focus(!name.is_empty()),
        ));
        self.form_to = format!("'self' {}", urls.all());
        self
    }

    pub(super) fn answer(self) -> HttpResponse {
        let policy = format!(
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action {}; \
             frame-ancestors 'none'",
            self.form_to
        );
        let title = escape(self.title);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"robots\" content=\"noindex\">\
             <title>{title}</title><style>{STYLE}</style>\n\
             <main>\n<h1>{title}</h1>\n{}</main>\n</html>\n",
            self.body
        );
        HttpResponse::build(self.status)
            .content_type("text/html; charset=utf-8")
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((CONTENT_SECURITY_POLICY, policy))
            // Not `no-referrer`: with it, browsers hide where a form comes from.
            .insert_header((REFERRER_POLICY, "same-origin"))
            .body(html)
    }
}

/// A path of this site, or of an app, that a request asks to be sent to. Everything else is left
/// out: nobody is to be led elsewhere by a link that begins here.
pub(super) fn own_path(text: Option<&str>) -> &str {
    let path = text.unwrap_or_default();
    let plain = path.bytes().all(|c| c.is_ascii_graphic() && c != b'\\');
    if path.starts_with('/') && !path.starts_with("//") && plain && path.len() <= 2000 {
        path
    } else {
        "/"
    }
}

/// Takes what a text could do to a page out of it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        for good in ["/", "/a/b?c=d&e=%2F%2Fx#f", "/login/app/shop?return=%2F"] {
            assert_eq!(own_path(Some(good)), good);
        }
        let long = format!("/{}", "a".repeat(2000));
        for bad in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/a b",
            "/\r\nSet-Cookie: a=b",
            "javascript:alert(1)",
            "/é",
            &long,
        ] {
            assert_eq!(own_path(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(own_path(None), "/");
    }

    #[test]
    fn what_a_page_repeats_is_harmless() {
        assert_eq!(escape("\"><script>'&\0"), "&quot;&gt;&lt;script&gt;&#39;&amp;\u{fffd}");
    }
}
