//! Texts out of files that other programs wrote.

/// The text without a byte order mark and blanks around it.
pub(crate) fn without_mark(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('\u{feff}').unwrap_or(text).trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_and_blanks_do_not_count() {
        for text in ["key", " key\n", "\u{feff}key", "\u{feff} key ", " \u{feff}key"] {
            assert_eq!(without_mark(text), "key");
        }
        assert_eq!(without_mark("\u{feff}"), "");
    }
}
