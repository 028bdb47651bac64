//! The compliance log, on a simulated chain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod anchoring;
mod conformance;
mod following;
mod forks;
mod receipts;
mod recording;
mod restarts;
mod support;
mod traces;
