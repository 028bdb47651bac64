//! The texts of a descriptor, each valid by its type.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::InvalidDescription;

/// Characters of a name.
const MAX_NAME: usize = 255;
/// Characters of a correlation id.
const MAX_CORRELATION_ID: usize = 255;
/// Characters of a media type.
const MAX_MEDIA_TYPE: usize = 255;
/// Characters of a type and of a subtype, by RFC 6838.
const MAX_RESTRICTED_NAME: usize = 127;

/// Files that Windows takes for devices, whatever stands behind a dot.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// Files that Windows takes for devices with one of [`DEVICE_DIGITS`] behind them.
const NUMBERED_DEVICES: [&str; 2] = ["COM", "LPT"];
const DEVICE_DIGITS: &str = "0123456789¹²³";

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $field:literal, $fault:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidDescription;

            fn from_str(text: &str) -> Result<Self, InvalidDescription> {
                match $fault(text) {
                    None => Ok(Self(text.to_owned())),
                    Some(reason) => Err(InvalidDescription::new($field, reason)),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidDescription;

            fn try_from(text: String) -> Result<Self, InvalidDescription> {
                text.parse()
            }
        }
    };
}

checked_text! {
    /// The name of a file, without a folder: 1 to 255 characters, none of them a control
    /// character, a path separator, or one that changes the direction of writing. It is no
    /// name that a system keeps for itself, such as `..` or `NUL`.
    ObjectName, "name", name_fault
}

checked_text! {
    /// A media type by [RFC 6838](https://www.rfc-editor.org/rfc/rfc6838) with parameters
    /// by [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1), at most 255
    /// characters.
    MediaType, "media_type", media_type_fault
}

checked_text! {
    /// Says what data belongs to: 1 to 255 characters, none of them a control character or
    /// one that changes the direction of writing.
    CorrelationId, "correlation_id", correlation_id_fault
}

/// Whether a character does not show, breaks a line, or makes a text show in another order
/// than it has.
pub(super) fn is_deceptive(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn name_fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("cannot be empty")
    } else if text.chars().count() > MAX_NAME {
        Some("must have at most 255 characters")
    } else if text.contains(is_deceptive) {
        Some("must have no control characters, line breaks or marks that change the direction of writing")
    } else if text.contains(['/', '\\']) {
        Some("must be a name without a path: no / and no \\")
    } else if text.trim_matches(['.', ' ']).is_empty() {
        Some("must not consist of dots and blanks")
    } else if is_device(text) {
        Some("must not be a name that Windows keeps for a device")
    } else {
        None
    }
}

fn is_device(text: &str) -> bool {
    let stem = text.split('.').next().unwrap_or_default();
    let stem = stem.trim_matches(' ').to_uppercase();
    DEVICES.contains(&stem.as_str())
        || NUMBERED_DEVICES.iter().any(|device| {
            let mut digits = stem.strip_prefix(device).unwrap_or_default().chars();
            digits.next().is_some_and(|digit| DEVICE_DIGITS.contains(digit)) && digits.next().is_none()
        })
}

fn correlation_id_fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("cannot be empty")
    } else if text.chars().count() > MAX_CORRELATION_ID {
        Some("must have at most 255 characters")
    } else if text.contains(is_deceptive) {
        Some("must have no control characters, line breaks or marks that change the direction of writing")
    } else {
        None
    }
}

fn media_type_fault(text: &str) -> Option<&'static str> {
    if text.len() <= MAX_MEDIA_TYPE && is_media_type(text) {
        None
    } else {
        Some("must be a media type of at most 255 characters, such as text/plain or application/pdf")
    }
}

fn is_media_type(text: &str) -> bool {
    let (essence, parameters) = match text.split_once(';') {
        Some((essence, parameters)) => (essence.trim_end_matches(is_blank), Some(parameters)),
        None => (text, None),
    };
    let is_named = essence
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_restricted_name(kind) && is_restricted_name(subtype));
    is_named && parameters.is_none_or(are_parameters)
}

/// The blanks that may stand around a `;`.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// A type or a subtype.
fn is_restricted_name(text: &str) -> bool {
    text.len() <= MAX_RESTRICTED_NAME
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
}

/// `name=token` and `name="quoted text"`, separated by `;`.
fn are_parameters(mut rest: &str) -> bool {
    loop {
        let Some((name, value)) = rest.trim_start_matches(is_blank).split_once('=') else {
            return false;
        };
        let Some(behind) = is_token(name).then(|| behind_value(value)).flatten() else {
            return false;
        };
        match behind.trim_start_matches(is_blank).strip_prefix(';') {
            Some(next) => rest = next,
            None => return behind.is_empty(),
        }
    }
}

/// What stands behind the value that a text begins with.
fn behind_value(text: &str) -> Option<&str> {
    let Some(mut quoted) = text.strip_prefix('"') else {
        let end = text.find(|character| is_blank(character) || character == ';');
        let (value, behind) = text.split_at(end.unwrap_or(text.len()));
        return is_token(value).then_some(behind);
    };
    loop {
        let end = quoted.find(['"', '\\'])?;
        let (within, end) = quoted.split_at(end);
        if within.contains(|character: char| !is_quotable(character)) {
            return None;
        }
        match end.strip_prefix('"') {
            Some(behind) => return Some(behind),
            None => quoted = end.strip_prefix('\\')?.strip_prefix(is_quotable)?,
        }
    }
}

fn is_quotable(character: char) -> bool {
    character == ' ' || character.is_ascii_graphic()
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_files_are_names() {
        let longest = "ä".repeat(255);
        for text in [
            "report-2026-11.pdf",
            "Übersicht (final).xlsx",
            "دفتر.txt",
            ".profile",
            "a",
            "..a",
            "console.txt",
            "com10",
            "CONTRACT",
            longest.as_str(),
        ] {
            assert_eq!(text.parse::<ObjectName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_name_that_does_harm_somewhere_is_refused_with_a_reason() {
        let too_long = "a".repeat(10 * 1024);
        for (text, reason) in [
            ("", "empty"),
            (too_long.as_str(), "255"),
            ("a/b", "path"),
            ("a\\b", "path"),
            ("/etc/passwd", "path"),
            ("..", "dots"),
            (".", "dots"),
            (" . ", "dots"),
            ("a\0b", "control"),
            ("a\nb", "control"),
            ("a\u{85}b", "control"),
            ("a\u{2028}b", "line"),
            ("invoice\u{202e}fdp.exe", "direction"),
            ("a\u{2066}b", "direction"),
            ("NUL", "Windows"),
            ("nul.tar.gz", "Windows"),
            ("con .txt", "Windows"),
            ("Com1.log", "Windows"),
            ("LPT²", "Windows"),
        ] {
            let error = text.parse::<ObjectName>().unwrap_err();
            assert_eq!(error.field, "name");
            assert!(error.reason.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn media_types_are_those_of_the_standards() {
        for text in [
            "text/plain",
            "application/vnd.oasis.opendocument.text",
            "image/svg+xml",
            "text/html; charset=utf-8",
            "text/html;charset=utf-8;q=1",
            "multipart/mixed; boundary=\"a b;c\\\"d\"",
        ] {
            assert_eq!(text.parse::<MediaType>().unwrap().as_str(), text);
        }
        let too_long = format!("text/plain; a={}", "a".repeat(255));
        for text in [
            "",
            "text",
            "text/",
            "/plain",
            "*/*",
            "text/*",
            "text/plain ",
            " text/plain",
            "text/plain;",
            "text/plain; charset",
            "text/plain; charset=",
            "text/plain; charset=\"utf-8",
            "text/plain; a=\"b\"c",
            "text/pläin",
            "text/plain; a=\"ä\"",
            "text/plain\r\nX-Evil: 1",
            "text/plain; a=\"\r\nX-Evil: 1\"",
            "a/b/c",
            too_long.as_str(),
        ] {
            let error = text.parse::<MediaType>().unwrap_err();
            assert_eq!(error.field, "media_type", "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_check_panic(text in "\\PC{0,40}|[a-z/;=\" \\\\]{0,40}") {
            let _ = text.parse::<ObjectName>();
            let _ = text.parse::<CorrelationId>();
            if text.parse::<MediaType>().is_ok() {
                prop_assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte) || byte == b'\t'));
            }
        }
    }
}
