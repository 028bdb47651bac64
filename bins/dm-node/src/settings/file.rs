//! Settings from a TOML file.

use std::{fs, path::Path};

use dm_core::config::ConfigFault;
use figment::value::Dict;

/// The settings in a file, or why there are none. Of a file that is no TOML the fault
/// names line and column and does not show the line, which may hold a secret.
pub(super) fn read(path: &Path) -> Result<Dict, ConfigFault> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
    let settings = text.and_then(|text| parse(&text).map_err(|fault| format!("is not valid TOML: {fault}")));
    settings.map_err(|reason| ConfigFault {
        field: path.display().to_string(),
        reason,
    })
}

/// The settings in a text; an editor's byte order mark before it means nothing.
fn parse(text: &str) -> Result<Dict, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = place(text, at);
        // A fault is one line.
        let reason = error.message().replace('\n', ", ");
        format!("line {line}, column {column}: {reason}")
    })
}

/// Line and column of a byte, counted from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_by_its_place_and_no_line_is_shown() {
        for line in [
            "private_key = \"S3cret",
            "private_key = S3cret",
            "private_key = 'S3cret' S3cret",
            "private_key = \"S3cret\\q\"",
            "private_key: S3cret",
            "private_key = [\"S3cret\"",
            "private_key \"S3cret\"",
            "private_key = 2024S3cret",
        ] {
            let fault = parse(&format!("node_id = \"a\"\n{line}")).unwrap_err();
            assert!(fault.starts_with("line 2, column "), "{line}: {fault}");
            assert!(!fault.contains("S3cret") && !fault.contains('\n'), "{fault}");
        }
        assert_eq!(place("a\nbü c", "a\nbü ".len()), (2, 4));
        let twice = parse("private_key = 'S3cret'\nprivate_key = 'S3cret'").unwrap_err();
        assert!(
            twice.starts_with("line 2, ") && !twice.contains("S3cret"),
            "{twice}"
        );
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(parse("\u{feff}node_id = \"a\"").unwrap().len(), 1);
    }
}
