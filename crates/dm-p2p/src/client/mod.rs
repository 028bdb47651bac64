//! Asks other nodes: finds objects, fetches them, and hands them out.

mod challenge;
mod fetch;
mod find;
mod hearsay;
mod merge;
mod names;
mod newer;
mod patience;
mod plan;
mod push;
mod roster;
mod speeds;
mod streams;
mod traced;

pub(crate) use challenge::challenge;
pub(crate) use fetch::fetch;
pub(crate) use find::{find, find_at_known, trace_lookup};
pub(crate) use hearsay::exchange_peers;
pub(crate) use patience::Patience;
pub(crate) use push::Pushing;
pub(crate) use streams::StreamPool;
