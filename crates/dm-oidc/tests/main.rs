//! A provider that these tests have written themselves, and everything that it can get wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod access_tokens;
mod provider_trouble;
mod sign_in;
mod support;
