//! The operations of an account in memory.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use dm_core::{
    operation::{Operation, OperationId},
    ports::{ChainError, OperationState, Operations},
};

use super::memory::{BegunOperation, MemoryMoney, State, transaction_of};

/// The operations of one account, and of those that it has acted as before.
pub struct MemoryOperations {
    money: Arc<MemoryMoney>,
    /// The present one is the first.
    accounts: RwLock<Vec<Address>>,
}

impl MemoryOperations {
    pub(super) fn new(money: Arc<MemoryMoney>, account: Address) -> Self {
        Self {
            money,
            accounts: RwLock::new(vec![account]),
        }
    }

    /// Acts as this account from now on; the one before becomes a former one.
    pub fn change_to(&self, account: Address) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|known| *known != account);
        accounts.insert(0, account);
    }

    /// Loses the keys of former accounts.
    pub fn forget_former(&self) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.truncate(1);
    }

    fn accounts(&self) -> Vec<Address> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.clone()
    }

    /// Under what an operation was begun, by whichever account.
    fn begun(&self, state: &State, id: OperationId) -> Option<(Address, OperationId)> {
        let mut names = self.accounts().into_iter().map(|account| (account, id));
        names.find(|name| state.operations.contains_key(name))
    }

    fn check_as(&self, account: Address, operation: &Operation) -> Result<(), ChainError> {
        let state = self.money.reach()?;
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        let mut ledger = state.ledger.clone();
        ledger
            .apply(account, operation)
            .map(|_| ())
            .map_err(ChainError::Reverted)
    }
}

#[async_trait]
impl Operations for MemoryOperations {
    fn operator(&self) -> Address {
        self.accounts().first().copied().unwrap_or_default()
    }

    fn can_act_as(&self, account: Address) -> bool {
        self.accounts().contains(&account)
    }

    async fn check(&self, operation: &Operation) -> Result<(), ChainError> {
        self.check_as(self.operator(), operation)
    }

    async fn begin(&self, id: OperationId, operation: &Operation) -> Result<B256, ChainError> {
        self.begin_as(self.operator(), id, operation).await
    }

    async fn begin_as(
        &self,
        account: Address,
        id: OperationId,
        operation: &Operation,
    ) -> Result<B256, ChainError> {
        if !self.can_act_as(account) {
            return Err(ChainError::Refused(format!("{account} cannot act")));
        }
        let tx_hash = transaction_of(id);
        if self.begun(&self.money.lock(), id).is_some() {
            return Ok(tx_hash);
        }
        self.check_as(account, operation)?;
        let mut state = self.money.lock();
        let name = (account, id);
        let entry = BegunOperation {
            operation: operation.clone(),
            state: OperationState::Pending { tx_hash },
        };
        state.operations.insert(name, entry);
        state.waiting.push(name);
        let mines = state.mines_by_itself;
        drop(state);
        if mines {
            self.money.mine();
        }
        Ok(tx_hash)
    }

    async fn state(&self, id: OperationId) -> Result<Option<OperationState>, ChainError> {
        let state = self.money.reach()?;
        let entry = self
            .begun(&state, id)
            .and_then(|name| state.operations.get(&name));
        Ok(entry.map(|entry| entry.state.clone()))
    }

    async fn wait(&self, id: OperationId, patience: Duration) -> Result<Option<OperationState>, ChainError> {
        let mut blocks = self.money.blocks.subscribe();
        let mined = async {
            loop {
                match self.state(id).await? {
                    Some(OperationState::Pending { .. }) => {}
                    other => return Ok(other),
                }
                if blocks.changed().await.is_err() {
                    return Ok(None);
                }
            }
        };
        match tokio::time::timeout(patience, mined).await {
            Ok(state) => state,
            Err(_) => self.state(id).await,
        }
    }

    async fn conclude(&self, id: OperationId) -> Result<(), ChainError> {
        let mut state = self.money.reach()?;
        let Some(name) = self.begun(&state, id) else {
            return Ok(());
        };
        let kept = state.operations.get(&name).map(|entry| &entry.state);
        if kept.is_some_and(OperationState::is_final) {
            state.operations.remove(&name);
        }
        Ok(())
    }
}
