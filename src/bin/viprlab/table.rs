//! **Tables** for people.

use std::fmt;

/// A table of `N` columns, each as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    /// The first is the head.
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with this head and nothing in it yet.
    pub(crate) fn new(head: [&str; N]) -> Self {
        Table { rows: vec![head.map(str::to_owned)] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(str::to_owned));
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
            if number == 0 {
                writeln!(f, "{}", "─".repeat(widths.iter().sum::<usize>() + 2 * (N - 1)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["", "here"]);
        table.row(["–", "yes, it is"]);
        table.row(["four", "no"]);
        let text = "      here\n────────────────\n–     yes, it is\nfour  no\n";
        assert_eq!(table.to_string(), text);
    }
}
