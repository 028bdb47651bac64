//! [`MemoryMoney`], which is tokens and operations without a chain, and the
//! conformance suites of [`Tokens`](dm_core::ports::Tokens) and
//! [`Operations`](dm_core::ports::Operations).

mod conformance;
mod ledger;
mod memory;
mod operations;

pub use conformance::*;
pub use ledger::{Habit, MemoryToken};
pub use memory::MemoryMoney;
pub use operations::MemoryOperations;
