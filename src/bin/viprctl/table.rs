//! Columns of text, as wide as what stands in them.

use std::io::{self, Write};

/// Where a cell stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// Text, and the terminal's name for its colour.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    text: String,
    colour: Option<&'static str>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    align: Align,
    width: usize,
}

/// What stands between two columns.
const GAP: usize = 2;

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        let columns = columns
            .iter()
            .map(|&(title, align)| Column { title, align, width: title.len() })
            .collect();
        Table { columns, rows: Vec::new() }
    }

    /// Adds a row; cells that are missing are empty, those too many are dropped.
    pub(crate) fn push<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let row: Vec<Cell> = cells.into_iter().map(Into::into).take(self.columns.len()).collect();
        for (column, cell) in self.columns.iter_mut().zip(&row) {
            column.width = column.width.max(cell.width());
        }
        self.rows.push(row);
    }

    /// Takes the last column away unless something stands in it.
    pub(crate) fn drop_last_if_empty(&mut self) {
        let last = self.columns.len().saturating_sub(1);
        if self.rows.iter().all(|row| row.get(last).is_none_or(|cell| cell.text.is_empty())) {
            self.columns.truncate(last);
            self.rows.iter_mut().for_each(|row| row.truncate(last));
        }
    }

    /// Writes the titles and the rows.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let titles: Vec<Cell> = self.columns.iter().map(|column| column.title.into()).collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            self.write_row(out, row)?;
        }
        Ok(())
    }

    fn write_row(&self, out: &mut impl Write, row: &[Cell]) -> io::Result<()> {
        // Spaces are owed until something follows them: no line ends in one.
        let mut owed = 0;
        for (column, cell) in self.columns.iter().zip(row) {
            let padding = column.width - cell.width();
            if column.align == Align::Right {
                owed += padding;
            }
            if !cell.text.is_empty() {
                write!(out, "{:owed$}", "")?;
                owed = 0;
                match cell.colour {
                    None => out.write_all(cell.text.as_bytes())?,
                    Some(colour) => write!(out, "\x1b[{colour}m{}\x1b[0m", cell.text)?,
                }
            }
            owed += GAP;
            if column.align == Align::Left {
                owed += padding;
            }
        }
        writeln!(out)
    }
}

impl Cell {
    /// The same text in `colour`, the parameters of an SGR sequence (`console_codes(4)`).
    pub(crate) fn coloured(text: impl Into<Cell>, colour: Option<&'static str>) -> Self {
        Cell { colour, ..text.into() }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Control characters become visible: a name must not drive the terminal.
impl From<String> for Cell {
    fn from(text: String) -> Self {
        let text = match text.chars().any(char::is_control) {
            false => text,
            true => text
                .chars()
                .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
                .collect(),
        };
        Cell { text, colour: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(table: &Table) -> String {
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_in_text() {
        let mut table =
            Table::new(&[("NAME", Align::Left), ("N", Align::Right), ("LAST", Align::Left)]);
        table.push(["a", "1", "x"]);
        table.push(["größer", "100", ""]);
        table.push(["", "7", "y"]);
        assert_eq!(
            written(&table),
            "NAME      N  LAST\n\
             a         1  x\n\
             größer  100\n\
             \u{20}         7  y\n"
        );
    }

    #[test]
    fn a_last_column_without_text_goes() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Left)]);
        table.push(["x", ""]);
        table.drop_last_if_empty();
        assert_eq!(written(&table), "A\nx\n");
        table.push(["y", "z"]);
        assert_eq!(written(&table), "A\nx\ny\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal_and_colours_have_no_width() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Left)]);
        table.push([Cell::from("\x1b[2J"), Cell::from("b")]);
        table.push([Cell::coloured("up", Some("32")), Cell::from("b")]);
        assert_eq!(
            written(&table),
            "A          B\n\
             \\u{1b}[2J  b\n\
             \x1b[32mup\x1b[0m         b\n"
        );
    }
}
