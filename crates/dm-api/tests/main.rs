//! The servers, on in-memory ports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod acts;
mod backups;
mod bearer_tokens;
mod common;
mod compliance;
mod console;
mod contacts;
mod contract;
mod descriptors;
mod erasures;
mod events;
mod hostile;
mod inbox;
mod keys;
mod lifecycle;
mod middleware;
mod money;
mod narrowed_keys;
mod openapi;
mod operators;
mod plugins;
mod probes;
mod protocol;
mod retrieval;
mod sent;
mod several_recipients;
mod shares;
mod sign_in;
mod subscriptions;
mod tls;
mod transfers_end;
mod uploads;
mod uploads_for_several;
mod users;
