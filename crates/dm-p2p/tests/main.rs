//! The network: real nodes on loopback, beside peers that follow a script.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod acknowledgements;
mod alone;
mod announcing;
mod behind_routers;
mod bootstrap_only;
mod common;
mod conformance;
mod connection_limits;
mod dht;
mod hedged_offers;
mod hostile_peers;
mod hostile_pushes;
mod hostile_readers;
mod ipv6;
mod letters_together;
mod lifecycle;
mod lying_providers;
#[cfg(feature = "mdns")]
mod mdns;
mod notices;
mod private_network;
mod repair;
mod resumed_pushes;
mod retrieval;
mod two_connections;
mod versions;
