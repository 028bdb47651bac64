use std::collections::HashMap;

use alloy::primitives::{Address, B256, U256, map::AddressMap};
use revm::{
    Database, DatabaseCommit, DatabaseRef,
    bytecode::Bytecode,
    state::{Account, AccountInfo},
};

use super::{Replaced, Slot, StateChanges, StateView};
use crate::embedded::EmbeddedChainError;

/// The state while a block is executed: the changes of its transactions over
/// the view of the block before.
pub(crate) struct BlockState {
    parent: StateView,
    accounts: HashMap<Address, Option<AccountInfo>>,
    slots: HashMap<Slot, U256>,
    codes: HashMap<B256, Bytecode>,
}

impl BlockState {
    pub(crate) fn new(parent: StateView) -> Self {
        Self {
            parent,
            accounts: HashMap::new(),
            slots: HashMap::new(),
            codes: HashMap::new(),
        }
    }

    /// The account with the changes of the block so far.
    pub(crate) fn account(&self, address: &Address) -> Result<Option<AccountInfo>, EmbeddedChainError> {
        match self.accounts.get(address) {
            Some(account) => Ok(account.clone()),
            None => self.parent.account(address),
        }
    }

    /// Sets an account, with its code where it is a contract: for the genesis.
    pub(crate) fn put(&mut self, address: Address, info: AccountInfo) {
        if let Some(code) = info.code.as_ref().filter(|code| !code.is_empty()) {
            self.codes.insert(info.code_hash, code.clone());
        }
        self.accounts.insert(address, Some(info.without_code()));
    }

    /// What the block changed, in the order of the keys, and what it replaced.
    /// Values that are the same as before the block are left out.
    pub(crate) fn finish(mut self) -> Result<(StateChanges, Replaced), EmbeddedChainError> {
        let mut changes = StateChanges::default();
        let mut replaced = Replaced::default();
        for (address, account) in self.accounts {
            let before = self.parent.account(&address)?;
            if before != account {
                let hash = account.as_ref().map_or(B256::ZERO, |account| account.code_hash);
                if before.as_ref().is_none_or(|before| before.code_hash != hash) {
                    changes.codes.extend(self.codes.remove_entry(&hash));
                }
                replaced.accounts.insert(address, before);
                changes.accounts.push((address, account));
            }
        }
        for (slot, value) in self.slots {
            let before = self.parent.slot(&slot.0, &slot.1)?;
            if before != value {
                replaced.slots.insert(slot, before);
                changes.slots.push((slot, value));
            }
        }
        changes.accounts.sort_unstable_by_key(|(address, _)| *address);
        changes.slots.sort_unstable_by_key(|(slot, _)| *slot);
        Ok((changes, replaced))
    }

    fn take(&mut self, address: Address, account: Account) {
        if !account.is_touched() {
            return;
        }
        // Since EIP-6780 only an account made in the same transaction can be
        // destroyed, so it has no storage to be cleared; since EIP-161 an
        // empty account does not exist.
        if account.is_selfdestructed() || account.is_empty() {
            self.accounts.insert(address, None);
            return;
        }
        let changed = account
            .changed_storage_slots()
            .map(|(slot, value)| ((address, *slot), value.present_value));
        self.slots.extend(changed);
        self.put(address, account.info);
    }
}

impl Database for BlockState {
    type Error = EmbeddedChainError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        self.account(&address)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        match self.codes.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.parent.code(&code_hash),
        }
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, Self::Error> {
        match self.slots.get(&(address, index)) {
            Some(value) => Ok(*value),
            None => self.parent.slot(&address, &index),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        self.parent.block_hash_ref(number)
    }
}

impl DatabaseCommit for BlockState {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes {
            self.take(address, account);
        }
    }
}
