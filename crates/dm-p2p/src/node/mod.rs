//! The running node: the swarm, the loop that drives it, and how the rest of
//! the crate talks to that loop.

mod behaviour;
mod bootstrap_schedule;
mod close_timeout;
mod command;
mod connection_slots;
mod connections;
mod constructor;
mod context;
mod delayed_dial;
mod dial_filter;
mod dialing;
mod exchange_schedule;
mod handshakes;
mod inbound_filter;
mod kad_driver;
mod multiplexer;
mod nearest;
#[cfg(feature = "mdns")]
mod neighbours;
mod origin;
mod paths;
mod peer_book_behaviour;
mod preferred_streams;
mod queries;
mod reachability;
mod read_ahead;
mod relays;
#[cfg(feature = "upnp")]
mod router;
mod routing_table;
mod runner;
mod runner_handle;
mod slots_behaviour;
mod subnets;
mod swarm;
mod transport;
mod verified_addresses;

pub(crate) use constructor::start;
pub(crate) use context::Context;
pub use queries::LookupTrace;
