//! Asks other nodes: finds objects, fetches them, and hands them out.

mod answer_deadline;
mod ask;
mod challenge;
mod exchange_trace;
mod fetch;
mod find;
mod holder_pool;
mod merge;
mod names;
mod newer;
mod offer;
mod peer_exchange;
mod plan;
mod push;
mod speeds;
mod streams;
mod takers;

pub(crate) use answer_deadline::AnswerDeadline;
pub(crate) use challenge::challenge;
pub(crate) use fetch::fetch;
pub(crate) use find::{find, find_at_known, trace_lookup};
pub(crate) use peer_exchange::exchange_peers;
pub(crate) use push::Pushing;
pub(crate) use streams::{StreamPool, note_outcome};
