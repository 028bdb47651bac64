//! Notes of plugins in the head of an answer whose body is raw bytes.

use std::fmt::Write;

use actix_web::{HttpResponseBuilder, http::header::HeaderName};
use dm_core::plugin::Notes;

/// The notes as one JSON object in ASCII, by the names of the plugins.
const NOTES: HeaderName = HeaderName::from_static("x-notes");
/// Names the plugins whose notes found no place in [`NOTES`].
const NOTES_LEFT_OUT: HeaderName = HeaderName::from_static("x-notes-left-out");
/// Bytes of [`NOTES`] at most: proxies and clients take heads of 8 KiB, often no more.
const MAX_NOTES: usize = 4096;

/// What the head of an answer says of notes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoteHeaders {
    json: Option<String>,
    left_out: Vec<String>,
}

impl NoteHeaders {
    /// Takes notes in the order of their plugins; one that is too long for
    /// what is left makes no room for itself, and those after it are tried.
    pub(crate) fn of(notes: &Notes) -> Self {
        let mut entries = String::new();
        let mut left_out = Vec::new();
        for (plugin, note) in notes {
            let entry = format!("{}:{}", ascii_json(plugin), ascii_json(note));
            // The comma, and the braces around all.
            if entries.len() + entry.len() + 3 > MAX_NOTES {
                left_out.push(plugin.clone());
                continue;
            }
            if !entries.is_empty() {
                entries.push(',');
            }
            entries.push_str(&entry);
        }
        Self {
            json: (!entries.is_empty()).then(|| format!("{{{entries}}}")),
            left_out,
        }
    }

    /// Puts them into the head of `response`; nothing where there are no notes.
    pub(crate) fn add_to(&self, response: &mut HttpResponseBuilder) {
        if let Some(json) = &self.json {
            response.insert_header((NOTES, json.as_str()));
        }
        if !self.left_out.is_empty() {
            response.insert_header((NOTES_LEFT_OUT, self.left_out.join(", ")));
        }
    }
}

/// A JSON string of visible ASCII and spaces, as RFC 8259 (section 7) escapes
/// the rest: in units of UTF-16.
fn ascii_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            ' '..='~' => json.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing into a String does not fail.
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn notes(given: &[(&str, &str)]) -> Notes {
        let owned = |(plugin, note): &(&str, &str)| ((*plugin).to_owned(), (*note).to_owned());
        given.iter().map(owned).collect()
    }

    #[test]
    fn every_note_can_be_read_back_from_visible_ascii() {
        let all = notes(&[
            ("a", "a \"quoted\" \\ note"),
            ("b", "line\r\nX-Forged: 1\u{0}\u{7f}"),
            ("c", "Größe 🦀"),
        ]);
        let headers = NoteHeaders::of(&all);
        let json = headers.json.unwrap();
        assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
        assert_eq!(serde_json::from_str::<Notes>(&json).unwrap(), all);
        assert!(headers.left_out.is_empty());
    }

    #[test]
    fn without_notes_there_is_no_header() {
        let headers = NoteHeaders::of(&Notes::new());
        assert_eq!((headers.json, headers.left_out), (None, vec![]));
    }

    #[test]
    fn what_is_too_long_is_left_out_by_name() {
        let control = "\u{1}".repeat(700);
        let exact = "x".repeat(MAX_NOTES - "{\"a\":\"\"},".len());
        let headers = NoteHeaders::of(&notes(&[("a", &exact), ("b", "y")]));
        assert_eq!(headers.json.unwrap().len(), MAX_NOTES - 1);
        assert_eq!(headers.left_out, ["b"]);
        let headers = NoteHeaders::of(&notes(&[("a", &control), ("b", "short"), ("c", &control)]));
        assert_eq!(headers.json.unwrap(), "{\"b\":\"short\"}");
        assert_eq!(headers.left_out, ["a", "c"]);
    }
}
