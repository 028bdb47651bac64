#![doc = include_str!("../README.md")]

mod anchoring;
mod batch_error;
mod board;
mod following;
mod health;
mod leaf;
mod local_log;
mod manager;
mod meter;
mod queue;
mod sequencer;
mod tree;
mod unanchored;
mod verify;

pub use local_log::log_head;
pub use manager::ComplianceManager;
pub use meter::LogReading;
pub use verify::{ReceiptFlaw, verify_offline};
