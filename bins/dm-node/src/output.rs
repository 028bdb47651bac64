//! What commands print: text for people, or one JSON document.

use std::io::{self, Write};

use serde_json::Value;

/// Prints a result in the form that was asked for. A reader that went away
/// (as `head` does) is no error.
pub(crate) fn print(
    as_json: bool,
    document: &Value,
    text: impl FnOnce(&Value) -> String,
) -> anyhow::Result<()> {
    let mut shown = if as_json {
        serde_json::to_string_pretty(document)?
    } else {
        text(document)
    };
    shown.push('\n');
    print_raw(shown.as_bytes())
}

/// Prints bytes as they are.
pub(crate) fn print_raw(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A line for each of these fields of an answer, with a name for people before it.
pub(crate) fn fields(answer: &Value, names: &[(&str, &str)]) -> String {
    let lines: Vec<String> = names
        .iter()
        .map(|(name, field)| format!("{name:<12} {}", cell(&answer[field])))
        .collect();
    lines.join("\n")
}

/// Lines with aligned columns, below a line of headings.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings: Vec<String> = headings.iter().map(ToString::to_string).collect();
    let lines: Vec<String> = std::iter::once(&headings)
        .chain(rows)
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

/// A JSON value as a table cell.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "2".to_owned()],
        ];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME  N\na     1\nlong  2");
    }
}
