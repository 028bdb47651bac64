//! The running node: the swarm, the loop that drives it, and how the rest of
//! the crate talks to that loop.

mod behaviour;
mod command;
mod constructor;
mod context;
mod dialer;
mod guarded;
mod kad_events;
mod known;
mod link;
#[cfg(feature = "mdns")]
mod neighbours;
mod paths;
mod patient;
mod places;
mod queries;
mod reach;
mod relays;
#[cfg(feature = "upnp")]
mod router;
mod runner;
mod subnets;
mod swarm;
mod transport;
mod upkeep;

pub(crate) use constructor::start;
pub(crate) use context::Context;
pub use queries::LookupTrace;
