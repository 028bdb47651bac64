//! Durations on the command line.

use anyhow::bail;
use dm_core::clock::now_ms;

/// The time after `12h`, `30d` and the like, in milliseconds since the Unix epoch.
///
/// # Errors
/// Where the text is no such duration.
pub(crate) fn from_now(text: &str) -> anyhow::Result<u64> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let milliseconds = UNITS.iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(*seconds)?.checked_mul(1000)
    });
    match milliseconds {
        Some(milliseconds) if milliseconds > 0 => Ok(now_ms().saturating_add(milliseconds)),
        _ => bail!("`{text}` is no duration such as 12h or 30d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        let now = now_ms();
        assert!(from_now("30d").unwrap() >= now + 30 * 86_400_000);
        for text in ["", "30", "d", "-1d", "1.5h", "0s", "99999999999999999d"] {
            assert!(from_now(text).is_err(), "{text}");
        }
    }
}
