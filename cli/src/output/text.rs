//! What a stranger wrote, on somebody's terminal.

use std::borrow::Cow;

use super::Look;

/// A text without what a terminal would obey: on a terminal, colours are taken away and other
/// control characters become visible; elsewhere it is as it was.
pub(crate) fn harmless<'a>(text: &'a str, look: &Look) -> Cow<'a, str> {
    if look.terminal && text.chars().any(is_harmful) {
        Cow::Owned(cleaned(text))
    } else {
        Cow::Borrowed(text)
    }
}

/// The same for a part of a line or of a table: line ends and tabs go too, everywhere.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| is_harmful(c) || c == '\n' || c == '\t';
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(cleaned(&text.replace(['\n', '\t'], " ")))
}

/// A sentence on as many lines as the terminal needs, broken between words; what follows the first
/// line begins with `indent` blanks.
pub(crate) fn wrapped(text: &str, indent: usize, width: Option<u16>) -> String {
    let Some(width) = width.map(usize::from).filter(|width| *width > indent + 20) else {
        return text.to_owned();
    };
    let words = text.trim_start_matches(' ');
    let begin = text.len() - words.len();
    let mut lines = " ".repeat(begin);
    // Where the next word goes, and where the line began.
    let (mut column, mut start) = (begin, begin);
    for word in words.split(' ') {
        let length = word.chars().count();
        if column > start && column + 1 + length > width {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            (column, start) = (indent, indent);
        } else if column > start {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

/// Control characters, and those that turn the direction of writing: a terminal shows something
/// else than what stands there.
fn is_harmful(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\n' && c != '\t')
}

fn cleaned(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = without_colour(rest) {
            rest = after;
            continue;
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            // A line of a file from Windows ends so.
            '\r' if rest.is_empty() || rest.starts_with('\n') => {}
            c if c.is_ascii_control() && is_harmful(c) => clean.push(picture(c)),
            c if is_harmful(c) => clean.push('\u{fffd}'),
            c => clean.push(c),
        }
    }
    clean
}

/// What follows a sequence that sets colours (`ESC [ … m`), where the text begins with one.
fn without_colour(text: &str) -> Option<&str> {
    let sequence = text.strip_prefix("\u{1b}[")?;
    let end = sequence.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':'))?;
    sequence.get(end..)?.strip_prefix('m')
}

/// The picture that Unicode has of an ASCII control character: ␛ for ESC.
fn picture(c: char) -> char {
    let code = if c == '\u{7f}' { 0x2421 } else { 0x2400 + u32::from(c) };
    char::from_u32(code).unwrap_or('\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::look;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(harmless(text, &look(Some(80))), expected);
        assert_eq!(harmless(text, &look(None)), text, "a file gets it as it is");
    }

    #[test]
    fn colours_go_and_other_commands_to_the_terminal_become_visible() {
        check("plain ä 漢\ttab\nline", "plain ä 漢\ttab\nline");
        check("\u{1b}[1;31mred\u{1b}[0m", "red");
        check("\u{1b}]0;title\u{7}", "␛]0;title␇");
        check("\u{1b}[2J\u{1b}[H", "␛[2J␛[H");
        check("back\u{8}\u{7f}", "back␈␡");
        check("\u{9b}31mC1", "\u{fffd}31mC1");
        check("\u{1b}[31", "␛[31");
        check("\u{1b}[31;\u{1b}[0m", "␛[31;");
    }

    #[test]
    fn a_carriage_return_cannot_overwrite_a_line() {
        check("line\r\nnext\r", "line\nnext");
        check("bad\rgood", "bad␍good");
    }

    #[test]
    fn the_direction_of_writing_cannot_be_turned() {
        check("a\u{202e}b\u{2066}", "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn a_sentence_is_broken_between_words() {
        let text = "  four five six seven eight nine ten eleven";
        assert_eq!(wrapped(text, 2, None), text);
        let expected = "  four five six seven eight\n  nine ten eleven";
        assert_eq!(wrapped(text, 2, Some(28)), expected);
        assert_eq!(wrapped(text, 2, Some(27)), expected);
        assert_eq!(wrapped("a", 4, Some(30)), "a");
        let url = format!("see https://{}", "x".repeat(50));
        assert_eq!(wrapped(&url, 0, Some(30)), url.replace(' ', "\n"), "a word is not broken");
    }

    #[test]
    fn a_cell_is_one_line_also_in_a_file() {
        assert_eq!(one_line("a\nb\tc\u{1b}[2J"), "a b c␛[2J");
        assert_eq!(one_line("a b"), "a b");
    }
}
