//! The state of all accounts: its present values in a bounded cache over the
//! store, and views of it that stay the same while blocks are added.

mod block_state;
mod layer;
mod present;
mod view;

use std::collections::HashMap;

use alloy::primitives::{Address, B256, U256};
use revm::{bytecode::Bytecode, state::AccountInfo};

pub(super) use self::{block_state::BlockState, layer::Layer, present::PresentState, view::StateView};

/// A storage slot of a contract.
pub(super) type Slot = (Address, U256);

/// What a block changes, with the new values.
#[derive(Debug, Default)]
pub(super) struct StateChanges {
    /// Accounts; `None` where one ceased to exist.
    pub(super) accounts: Vec<(Address, Option<AccountInfo>)>,
    /// Storage slots.
    pub(super) slots: Vec<(Slot, U256)>,
    /// Code of new contracts by its Keccak-256 hash.
    pub(super) codes: Vec<(B256, Bytecode)>,
}

/// The values that a block replaced.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    accounts: HashMap<Address, Option<AccountInfo>>,
    slots: HashMap<Slot, U256>,
}
