//! How long something is valid, as it is written on the command line.

use anyhow::bail;
use dm_core::clock::now_ms;

/// When something ends, in milliseconds since the Unix epoch, that is valid for
/// `12h`, `30d` and the like from now on.
pub(crate) fn expiry(text: &str) -> anyhow::Result<u64> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let seconds = UNITS.iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(*seconds)?.checked_mul(1000)
    });
    match seconds {
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
        assert!(expiry("30d").unwrap() >= now + 30 * 86_400_000);
        for text in ["", "30", "d", "-1d", "1.5h", "0s", "99999999999999999d"] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }
}
