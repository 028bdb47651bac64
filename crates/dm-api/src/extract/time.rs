//! Times as clients write them.

use dm_core::clock::LATEST_MS;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::fields::{self, Field};
use crate::error::ApiError;

const FORMS: &str = "must be a time before the year 10000: in milliseconds since the Unix epoch, or in the \
    form of RFC 3339";

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

/// A time in milliseconds since the Unix epoch, if the field is there: a number
/// of them, or a text as [`time_param`] reads it.
pub(crate) fn time(name: &'static str, field: Field<'_>) -> Result<Option<u64>, ApiError> {
    match fields::value(name, field, FORMS)? {
        None => Ok(None),
        Some(Written::Number(milliseconds)) => known(name, Some(milliseconds)).map(Some),
        Some(Written::Text(text)) => time_param(name, &text).map(Some),
    }
}

/// A time in milliseconds since the Unix epoch, from a number of them or a time
/// in the form of [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339).
pub(crate) fn time_param(name: &'static str, text: &str) -> Result<u64, ApiError> {
    let written = match text.parse() {
        Ok(milliseconds) => Some(milliseconds),
        Err(_) => milliseconds(text),
    };
    known(name, written)
}

/// Later times have no form, and cannot be kept.
fn known(name: &'static str, milliseconds: Option<u64>) -> Result<u64, ApiError> {
    milliseconds
        .filter(|milliseconds| *milliseconds <= LATEST_MS)
        .ok_or_else(|| ApiError::invalid(name, FORMS))
}

fn milliseconds(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_numbers_or_rfc_3339() {
        for (text, milliseconds) in [
            ("1700000000123", 1_700_000_000_123),
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01T01:00:01.5+01:00", 1500),
        ] {
            assert_eq!(time_param("expires_at", text).unwrap(), milliseconds, "{text}");
        }
        for text in ["", "soon", "-1", "2030-01-01", "1969-12-31T23:59:58Z", "1.5"] {
            let error = time_param("expires_at", text).unwrap_err().to_string();
            assert!(error.starts_with("expires_at must be a time"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}|[0-9TZ:+.-]{0,40}") {
            let _ = time_param("expires_at", &text);
        }
    }
}
