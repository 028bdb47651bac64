//! The running node: the swarm, the loop that drives it, and how the rest of
//! the crate talks to that loop.

mod behaviour;
mod bootstrap_schedule;
mod command;
mod connections;
mod constructor;
mod context;
mod delayed_dial;
mod dial_filter;
mod dialing;
mod exchange_schedule;
mod kad_driver;
mod paths;
mod peer_book_behaviour;
mod queries;
mod reachability;
mod relays;
mod routing_table;
mod runner;
mod runner_handle;
mod subnets;
mod swarm;
mod transport;
mod verified_addresses;

pub(crate) use constructor::start;
pub(crate) use context::Context;
pub use queries::LookupTrace;
