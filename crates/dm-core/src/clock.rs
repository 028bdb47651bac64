//! The wall clock, in the unit that every format of the system uses.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch; 0 for a clock that stands before it.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| {
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The latest time that formats and stores take: the end of the year 9999, after
/// which [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339) has no form for a time.
pub const LATEST_MS: u64 = 253_402_300_799_999;

/// How far the clock of another node may be ahead, in milliseconds: 5 minutes.
pub const MAX_AHEAD_MS: u64 = 5 * 60 * 1000;
