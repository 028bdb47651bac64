//! How long to wait before the next attempt.

/// Milliseconds after so many attempts that failed before: twice as many each time, from the
/// first pause to the longest.
pub(crate) fn pause_after(failed: u32, (first, longest): (u64, u64)) -> u64 {
    first.saturating_mul(1 << failed.min(16)).min(longest)
}
