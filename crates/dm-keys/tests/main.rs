//! Keys and accounts in real files, and API keys and users on in-memory catalogs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod api_keys;
mod conformance;
mod key_manager;
mod node_keys;
mod support;
