use std::sync::{PoisonError, RwLock};

use alloy::primitives::{Address, B256, U256};
use quick_cache::{Weighter, sync::Cache};
use revm::{bytecode::Bytecode, state::AccountInfo};

use super::{Slot, StateChanges};
use crate::embedded::{EmbeddedChainError, storage::ChainStore};

/// Accounts that the cache holds; about 200 bytes each.
const CACHED_ACCOUNTS: usize = 8 * 1024;
/// Storage slots that the cache holds; about 150 bytes each.
const CACHED_SLOTS: usize = 32 * 1024;
/// Bytes of contract code that the cache holds.
const CACHED_CODE_BYTES: u64 = 4 * 1024 * 1024;

/// The present values of accounts, slots and code: a cache of fixed size over
/// the store.
pub(crate) struct PresentState {
    store: ChainStore,
    accounts: Cache<Address, Option<AccountInfo>>,
    slots: Cache<Slot, U256>,
    codes: Cache<B256, Bytecode, CodeBytes>,
    /// Counts the blocks applied. A value that was read from the store goes
    /// into the cache only if no block was applied meanwhile, so that an old
    /// value never replaces a newer one.
    applied: RwLock<u64>,
}

#[derive(Clone)]
struct CodeBytes;

impl Weighter<B256, Bytecode> for CodeBytes {
    fn weight(&self, _: &B256, code: &Bytecode) -> u64 {
        code.len() as u64 + 256
    }
}

impl PresentState {
    pub(crate) fn new(store: ChainStore) -> Self {
        Self {
            store,
            accounts: Cache::new(CACHED_ACCOUNTS),
            slots: Cache::new(CACHED_SLOTS),
            codes: Cache::with_weighter(256, CACHED_CODE_BYTES, CodeBytes),
            applied: RwLock::default(),
        }
    }

    pub(crate) fn store(&self) -> &ChainStore {
        &self.store
    }

    pub(super) fn account(&self, address: &Address) -> Result<Option<AccountInfo>, EmbeddedChainError> {
        if let Some(account) = self.accounts.get(address) {
            return Ok(account);
        }
        let before = self.applied();
        let account = self.store.account(address)?;
        self.remember(before, || self.accounts.insert(*address, account.clone()));
        Ok(account)
    }

    pub(super) fn slot(&self, slot: &Slot) -> Result<U256, EmbeddedChainError> {
        if let Some(value) = self.slots.get(slot) {
            return Ok(value);
        }
        let before = self.applied();
        let value = self.store.slot(&slot.0, &slot.1)?;
        self.remember(before, || self.slots.insert(*slot, value));
        Ok(value)
    }

    /// Code never changes under its hash, so it needs no care for blocks.
    pub(super) fn code(&self, hash: &B256) -> Result<Bytecode, EmbeddedChainError> {
        if let Some(code) = self.codes.get(hash) {
            return Ok(code);
        }
        let code = self
            .store
            .code(hash)?
            .ok_or(EmbeddedChainError::Damaged("the code of a contract"))?;
        let code = Bytecode::new_legacy(code);
        self.codes.insert(*hash, code.clone());
        Ok(code)
    }

    /// Takes over what a block changed, after the store has it.
    pub(crate) fn apply(&self, changes: StateChanges) {
        let mut applied = self.applied.write().unwrap_or_else(PoisonError::into_inner);
        *applied += 1;
        for (address, account) in changes.accounts {
            self.accounts.insert(address, account);
        }
        for (slot, value) in changes.slots {
            self.slots.insert(slot, value);
        }
        for (hash, code) in changes.codes {
            self.codes.insert(hash, code);
        }
    }

    fn applied(&self) -> u64 {
        *self.applied.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, before: u64, insert: impl FnOnce()) {
        let applied = self.applied.read().unwrap_or_else(PoisonError::into_inner);
        if *applied == before {
            insert();
        }
    }
}
