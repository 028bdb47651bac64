//! Pages of long lists: how many entries, and where to go on.

use crate::error::ApiError;

/// Entries of a page where the client does not say.
const DEFAULT_LIMIT: usize = 100;
/// Most entries of a page.
const MAX_LIMIT: usize = 1000;

/// Digits of a cursor at most: there will never be a longer list.
const CURSOR_DIGITS: usize = 18;

/// How many entries a page shall have; 100 where the client does not say.
pub(crate) fn page_limit(text: Option<&str>) -> Result<usize, ApiError> {
    let Some(text) = text else {
        return Ok(DEFAULT_LIMIT);
    };
    text.parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| ApiError::invalid("limit", format!("must be a number from 1 to {MAX_LIMIT}")))
}

/// Where a page shall begin: the `next_cursor` of the one before.
pub(crate) fn page_cursor(text: Option<&str>) -> Result<Option<u64>, ApiError> {
    let is_cursor = |text: &&str| {
        (1..=CURSOR_DIGITS).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit())
    };
    text.map(|text| Some(text).filter(is_cursor)?.parse().ok())
        .map(|cursor| cursor.ok_or_else(not_a_cursor))
        .transpose()
}

fn not_a_cursor() -> ApiError {
    ApiError::invalid("cursor", "must be a next_cursor of an earlier answer")
}
