//! Tables that fit the terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use super::text::one_line;
use super::{Look, Paint};

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    /// Whether it is numbers.
    right: bool,
    /// The higher, the sooner it is left out where there is no room; never for 0.
    spare: u8,
}

impl Column {
    /// A column that is always there.
    pub(crate) const fn new(title: &'static str) -> Self {
        Self { title, right: false, spare: 0 }
    }

    /// Numbers stand at the right.
    pub(crate) const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    /// It can be left out where there is no room, the sooner the higher.
    pub(crate) const fn spare(self, spare: u8) -> Self {
        Self { spare, ..self }
    }
}

/// A cell: its text, and its colour.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    text: String,
    paint: Option<Paint>,
}

impl<T: std::fmt::Display> From<T> for Field {
    fn from(value: T) -> Self {
        let text = value.to_string();
        Self { text: one_line(&text).into_owned(), paint: None }
    }
}

impl Field {
    /// In a colour.
    pub(crate) fn painted(self, paint: Paint) -> Self {
        Self { paint: Some(paint), ..self }
    }

    /// A text that may be absent.
    pub(crate) fn or_dash<T: std::fmt::Display>(value: Option<T>) -> Self {
        value.map_or_else(|| Self::from("-").painted(Paint::Dim), Self::from)
    }

    fn cell(self, look: &Look) -> Cell {
        let cell = Cell::new_owned(self.text);
        match self.paint.filter(|_| look.colour) {
            None => cell,
            Some(Paint::Bold) => cell.add_attribute(Attribute::Bold),
            Some(Paint::Dim) => cell.add_attribute(Attribute::Dim),
            Some(Paint::Good) => cell.fg(Color::DarkGreen),
            Some(Paint::Warn) => cell.fg(Color::DarkYellow),
            Some(Paint::Bad) => cell.fg(Color::DarkRed),
        }
    }
}

/// A table of rows, with the columns that there is room for. Text that is too long for its column
/// goes on below.
pub(crate) fn table<const N: usize>(
    columns: [Column; N],
    rows: Vec<[Field; N]>,
    look: &Look,
) -> String {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            cells.map(|field| field.text.chars().count()).max().unwrap_or(0).max(column.title.len())
        })
        .collect();
    let kept = kept(&columns, &widths, look.width.map(usize::from));
    let mut table = Table::new();
    table.load_style(NOTHING).force_no_tty();
    if look.colour {
        table.enforce_styling();
    }
    if let Some(width) = look.width {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    let shown = |at: &usize| kept.contains(at);
    let header = columns.iter().enumerate().filter(|(at, _)| shown(at));
    table.set_header(
        header.map(|(_, column)| Field::from(column.title).painted(Paint::Dim).cell(look)),
    );
    for row in rows {
        let cells = row.into_iter().enumerate().filter(|(at, _)| shown(at));
        table.add_row(cells.map(|(_, field)| field.cell(look)));
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        let right = kept.get(at).and_then(|at| columns.get(*at)).is_some_and(|c| c.right);
        column.set_padding((0, 2));
        if right {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// The columns that there is room for, by number.
fn kept(columns: &[Column], widths: &[usize], room: Option<usize>) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let Some(room) = room else { return kept };
    let width = |at: &usize| widths.get(*at).map_or(0, |width| width + 2);
    let spare = |at: &usize| columns.get(*at).map_or(0, |column| column.spare);
    while kept.iter().map(width).sum::<usize>() > room {
        let Some(least) = kept.iter().copied().filter(|at| spare(at) > 0).max_by_key(spare) else {
            break;
        };
        kept.retain(|at| *at != least);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::look;

    const COLUMNS: [Column; 3] =
        [Column::new("APP"), Column::new("SIZE").right().spare(1), Column::new("URL").spare(2)];

    fn rows() -> Vec<[Field; 3]> {
        vec![
            ["shop".into(), "1 kB".into(), "https://shop.rac.example".into()],
            ["a".into(), "12.3 MB".into(), "https://a.rac.example".into()],
        ]
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let expected = "\
APP   SIZE     URL
shop     1 kB  https://shop.rac.example
a     12.3 MB  https://a.rac.example";
        let expected = expected.replace("SIZE   ", "   SIZE");
        assert_eq!(table(COLUMNS, rows(), &look(None)), expected);
        assert_eq!(table(COLUMNS, rows(), &look(Some(200))), expected);
    }

    #[test]
    fn what_matters_least_is_left_out_where_there_is_no_room() {
        assert!(!table(COLUMNS, rows(), &look(Some(30))).contains("URL"));
        let narrow = table(COLUMNS, rows(), &look(Some(10)));
        assert_eq!(narrow, "APP\nshop\na");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        let columns = [Column::new("WHAT"), Column::new("MESSAGE")];
        for width in [40, 60, 80, 200] {
            let rows = vec![["x".into(), "many words in one sentence ".repeat(20).into()]];
            for line in table(columns, rows, &look(Some(width))).lines() {
                assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_strangers_text_cannot_break_a_row() {
        let rows = vec![["a\nb\u{1b}[2J".into(), "1".into(), "u".into()]];
        let table = table(COLUMNS, rows, &look(None));
        assert_eq!(table.lines().count(), 2);
        assert!(!table.contains('\u{1b}'));
    }

    #[test]
    fn colours_are_the_only_escapes() {
        let rows = || vec![[Field::from("x").painted(Paint::Bad), "1".into(), "u".into()]];
        assert!(!table(COLUMNS, rows(), &look(Some(80))).contains('\u{1b}'));
        let colour = Look { colour: true, ..look(Some(80)) };
        assert!(table(COLUMNS, rows(), &colour).contains('\u{1b}'));
    }
}
