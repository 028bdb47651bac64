//! Durable commits of the engine, each shared by many callers, and the counters that
//! change with them.

pub(crate) mod changes;
pub(crate) mod committer;
mod gathering;
pub(crate) mod meta;
pub(crate) mod totals;
pub(crate) mod transaction;
