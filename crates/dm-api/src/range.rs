//! Range and conditional requests
//! ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110), sections 13 and 14).

use std::ops::Range;

use actix_web::http::header::{self, HeaderMap, HeaderName};

/// Which part of an object a response carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it, with status 200.
    Whole,
    /// These bytes, with status 206.
    Range(Range<u64>),
    /// None: what was asked for is not there, status 416.
    Unsatisfiable,
}

/// Which part the `Range` header asks for, of an object with `size` bytes and
/// this entity tag. Several ranges at once are answered with the whole, which
/// the standard leaves to the server.
pub(crate) fn requested_part(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    let Some(range) = headers.get(header::RANGE) else {
        return Part::Whole;
    };
    if let Some(condition) = headers.get(header::IF_RANGE)
        && condition.as_bytes() != etag.as_bytes()
    {
        // Another version, or a date: objects have no date.
        return Part::Whole;
    }
    range
        .to_str()
        .map_or(Part::Unsatisfiable, |text| parse(text, size))
}

/// Whether `If-None-Match` says that the client has the object already.
pub(crate) fn is_known_to_client(headers: &HeaderMap, etag: &str) -> bool {
    list(headers, &header::IF_NONE_MATCH).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
}

fn parse(text: &str, size: u64) -> Part {
    let Some((unit, set)) = text.split_once('=') else {
        return Part::Unsatisfiable;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Part::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Part::Unsatisfiable;
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => within(first..last.saturating_add(1), size),
        (Some(first), None) if last.is_empty() => within(first..size, size),
        (None, Some(count)) if first.is_empty() => within(size.saturating_sub(count)..size, size),
        _ => Part::Unsatisfiable,
    }
}

/// Decimal digits; a number that is too large for any object is the largest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

fn within(range: Range<u64>, size: u64) -> Part {
    let end = range.end.min(size);
    if range.start < end {
        Part::Range(range.start..end)
    } else {
        Part::Unsatisfiable
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn single_ranges_are_understood() {
        for (text, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-4", 2..5),
            ("bytes=2-", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
            ("bytes=5-99", 5..10),
            ("bytes=5-99999999999999999999999", 5..10),
            ("BYTES=1-1", 1..2),
        ] {
            assert_eq!(parse(text, 10), Part::Range(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_readable_is_unsatisfiable() {
        for text in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=-0",
            "bytes=4-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes",
            "",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(parse(text, 10), Part::Unsatisfiable, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), Part::Unsatisfiable);
    }

    #[test]
    fn other_units_and_several_ranges_get_the_whole() {
        for text in ["items=0-1", "bytes=0-1,3-4"] {
            assert_eq!(parse(text, 10), Part::Whole, "{text}");
        }
    }

    #[test]
    fn if_range_needs_the_very_same_tag() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        for (tag, expected) in [
            ("\"a\"", Part::Range(0..2)),
            ("\"b\"", Part::Whole),
            ("W/\"a\"", Part::Whole),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Part::Whole),
        ] {
            headers.insert(header::IF_RANGE, HeaderValue::from_static(tag));
            assert_eq!(requested_part(&headers, "\"a\"", 10), expected, "{tag}");
        }
    }

    #[test]
    fn if_none_match_takes_lists_weak_tags_and_the_star() {
        for (value, known) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            assert_eq!(is_known_to_client(&headers, "\"a\""), known, "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_a_range_lies_inside(text in "(bytes=)?[0-9,-]{0,24}|\\PC{0,32}", size: u64) {
            if let Part::Range(range) = parse(&text, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
