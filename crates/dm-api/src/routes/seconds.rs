//! Times of answers that are in seconds.

/// Seconds since the Unix epoch, with a fraction, of milliseconds.
pub(super) fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}
