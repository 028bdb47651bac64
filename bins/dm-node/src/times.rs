//! Points in time: in the local time zone for people, in ISO 8601 for programs.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

/// A point in time in milliseconds since the Unix epoch, as people read it:
/// `2026-03-01 13:05:09 +01:00`. A number that is no time is shown as it is.
pub(crate) fn local(ms: u64) -> String {
    in_zone(ms, TimeZone::system())
}

fn in_zone(ms: u64, zone: TimeZone) -> String {
    let Some(time) = timestamp(ms) else {
        return ms.to_string();
    };
    time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// A field in milliseconds since the Unix epoch, for people.
pub(crate) fn local_ms(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), local)
}

/// A field in seconds since the Unix epoch, for people.
pub(crate) fn local_secs(value: &Value) -> String {
    millis(value).map_or_else(|| "-".to_owned(), local)
}

/// A point in time in ISO 8601, for people; what is no time is shown as it is.
pub(crate) fn local_iso(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => u64::try_from(time.as_millisecond()).map_or_else(|_| text.to_owned(), local),
        Err(_) => text.to_owned(),
    }
}

/// The time of day of a point in time in ISO 8601, for people; what is no time is shown as it is.
pub(crate) fn clock(text: &str) -> String {
    let time = text.parse::<Timestamp>();
    time.map_or_else(
        |_| text.to_owned(),
        |time| time.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string(),
    )
}

/// Adds to each of the lines the time in its field `timestamp` (seconds since the Unix
/// epoch) as ISO 8601 in UTC, under the name `time`.
pub(crate) fn add_iso(lines: &mut Value) {
    for line in lines.as_array_mut().into_iter().flatten() {
        if let Some(time) = millis(&line["timestamp"]).and_then(timestamp) {
            line["time"] = json!(format!("{time:.3}"));
        }
    }
}

/// Adds to each of the lines the time in one of its fields (milliseconds since the Unix
/// epoch) as ISO 8601 in UTC, under the name `time`.
pub(crate) fn add_iso_ms(lines: &mut Value, field: &str) {
    for line in lines.as_array_mut().into_iter().flatten() {
        if let Some(time) = line[field].as_u64().and_then(timestamp) {
            line["time"] = json!(format!("{time:.3}"));
        }
    }
}

/// Seconds with fractions, in milliseconds.
fn millis(seconds: &Value) -> Option<u64> {
    let seconds = seconds.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some((seconds * 1000.0).round() as u64)
}

fn timestamp(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use jiff::tz::offset;

    use super::*;

    #[test]
    fn people_read_their_own_time_with_its_offset() {
        let zone = TimeZone::fixed(offset(2));
        assert_eq!(
            in_zone(1_767_225_600_123, zone.clone()),
            "2026-01-01 02:00:00 +02:00"
        );
        assert_eq!(in_zone(u64::MAX, zone), u64::MAX.to_string());
        assert_eq!(local_ms(&Value::Null), "-");
        assert_eq!(local_secs(&json!(1_767_225_600.5)), local(1_767_225_600_500));
    }

    #[test]
    fn programs_get_iso_8601_beside_what_the_node_says() {
        let mut lines = json!([{"timestamp": 1_767_225_600.25}, {"timestamp": null}]);
        add_iso(&mut lines);
        assert_eq!(lines[0]["time"], "2026-01-01T00:00:00.250Z");
        assert_eq!(lines[0]["timestamp"], 1_767_225_600.25);
        assert_eq!(lines[1], json!({"timestamp": null}));
    }
}
