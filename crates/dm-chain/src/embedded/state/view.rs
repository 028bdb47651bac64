use std::sync::Arc;

use alloy::primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{DatabaseRef, bytecode::Bytecode, state::AccountInfo};

use super::{Layer, PresentState};
use crate::embedded::EmbeddedChainError;

/// The state as it was after one block, whatever is mined while it is read.
/// Reading blocks the thread.
#[derive(Clone)]
pub(crate) struct StateView {
    present: Arc<PresentState>,
    layer: Arc<Layer>,
}

impl StateView {
    pub(crate) fn new(present: Arc<PresentState>, layer: Arc<Layer>) -> Self {
        Self { present, layer }
    }

    /// The account, where it exists; its code is not loaded.
    pub(crate) fn account(&self, address: &Address) -> Result<Option<AccountInfo>, EmbeddedChainError> {
        // The order matters: see `Layer`.
        let present = self.present.account(address)?;
        Ok(self.layer.account(address).cloned().unwrap_or(present))
    }

    /// The value of a storage slot; zero where nothing was stored.
    pub(crate) fn slot(&self, address: &Address, slot: &U256) -> Result<U256, EmbeddedChainError> {
        let slot = (*address, *slot);
        let present = self.present.slot(&slot)?;
        Ok(self.layer.slot(&slot).copied().unwrap_or(present))
    }

    /// Code by its hash.
    pub(crate) fn code(&self, hash: &B256) -> Result<Bytecode, EmbeddedChainError> {
        match *hash {
            KECCAK256_EMPTY | B256::ZERO => Ok(Bytecode::default()),
            _ => self.present.code(hash),
        }
    }
}

impl DatabaseRef for StateView {
    type Error = EmbeddedChainError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        self.account(&address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        self.code(&code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, Self::Error> {
        self.slot(&address, &index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        let block = self.present.store().block(number)?;
        Ok(block.map(|block| block.hash).unwrap_or_default())
    }
}
