#![doc = include_str!("../README.md")]

mod blocking;
mod cache;
mod catalog;
mod changes;
mod chunks;
mod committer;
mod engine;
mod error;
mod file_writer;
mod files;
mod health;
mod layout;
mod meta;
mod namespace;
mod namespace_copy;
mod object_writer;
mod objects;
mod panics;
mod partial;
mod record;
mod recovery;
mod reserve;
mod space;
mod storage;
mod tally;
mod totals;
mod transaction;
mod write_state;

pub use catalog::SqliteCatalog;
pub use error::StorageFault;
pub use storage::Storage;
