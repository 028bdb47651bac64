//! Tokens and operations in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::{Address, B256, U256, keccak256};
use async_trait::async_trait;
use tokio::sync::watch;

use super::ledger::{Effect, Ledger, MemoryToken};
use crate::{
    operation::{Operation, OperationId},
    ports::{Chain, ChainError, ChainHead, MinedOperation, OperationState, Operations, TokenError, Tokens},
    token::{NATIVE_TOKEN, TokenInfo, TokenKind},
};

/// The id that it has as a chain.
const CHAIN_ID: u64 = 31_337;

/// Accounts, tokens, and blocks that come with each operation, or when they
/// are asked for.
pub struct MemoryMoney {
    state: Mutex<State>,
    blocks: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    mines_by_itself: bool,
    is_away: bool,
    refusal: Option<String>,
    waiting: Vec<(Address, OperationId)>,
    operations: HashMap<(Address, OperationId), Entry>,
}

struct Entry {
    operation: Operation,
    state: OperationState,
}

impl Default for MemoryMoney {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                mines_by_itself: true,
                ..State::default()
            }),
            blocks: watch::Sender::new(0),
        }
    }
}

impl MemoryMoney {
    /// Nobody has anything, and each operation is mined at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// The operations of an account. All handles of one account are one.
    pub fn operations(self: &Arc<Self>, operator: Address) -> Arc<MemoryOperations> {
        Arc::new(MemoryOperations {
            money: self.clone(),
            operator,
        })
    }

    /// Sets what an account has of the native coin.
    pub fn set_coins(&self, account: Address, amount: U256) {
        self.lock().ledger.coins.insert(account, amount);
    }

    /// Issues a token whose whole supply `owner` has.
    pub fn issue(&self, owner: Address, symbol: &str, supply: u64) -> Address {
        let info = TokenInfo {
            address: Address::ZERO,
            kind: TokenKind::Erc20,
            symbol: symbol.to_owned(),
            name: symbol.to_owned(),
            decimals: 2,
        };
        self.lock().ledger.issue(owner, info, U256::from(supply))
    }

    /// Changes a token.
    ///
    /// # Panics
    /// Where there is no such token.
    pub fn change(&self, token: Address, change: impl FnOnce(&mut MemoryToken)) {
        let mut state = self.lock();
        #[allow(clippy::expect_used, reason = "a test fails by panicking")]
        change(state.ledger.tokens.get_mut(&token).expect("no such token"));
    }

    /// Whether blocks come by themselves.
    pub fn set_mining(&self, by_itself: bool) {
        self.lock().mines_by_itself = by_itself;
    }

    /// Lets the chain be away, or come back.
    pub fn set_away(&self, away: bool) {
        self.lock().is_away = away;
    }

    /// Lets the chain refuse for good what is begun from now on, with this reason:
    /// each is given up with the next block; `None` lets it take operations again.
    pub fn set_refusal(&self, reason: Option<&str>) {
        self.lock().refusal = reason.map(str::to_owned);
    }

    /// Mines what waits.
    pub fn mine(&self) {
        let mut state = self.lock();
        let block = *self.blocks.borrow() + 1;
        for name in std::mem::take(&mut state.waiting) {
            state.mine(name, block);
        }
        drop(state);
        self.blocks.send_replace(block);
    }

    /// Undoes the last block that had this operation: it waits again, and its
    /// effect is gone.
    pub fn reorganise(&self, operator: Address, id: OperationId) {
        let mut state = self.lock();
        let tx_hash = transaction_of(id);
        if let Some(entry) = state.operations.get_mut(&(operator, id)) {
            entry.state = OperationState::Pending { tx_hash };
            let operation = entry.operation.clone();
            state.ledger.undo(operator, &operation);
            state.waiting.push((operator, id));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, unless the chain is away.
    fn reach(&self) -> Result<MutexGuard<'_, State>, ChainError> {
        let state = self.lock();
        if state.is_away {
            return Err(ChainError::Unavailable("the chain is away".to_owned()));
        }
        Ok(state)
    }
}

impl State {
    fn mine(&mut self, name: (Address, OperationId), block: u64) {
        let Some(entry) = self.operations.get_mut(&name) else {
            return;
        };
        if let Some(reason) = &self.refusal {
            entry.state = OperationState::Refused {
                tx_hash: transaction_of(name.1),
                reason: reason.clone(),
                is_final: true,
            };
            return;
        }
        let effect = self.ledger.apply(name.0, &entry.operation);
        let succeeded = effect.is_ok();
        let Effect { received, contract } = effect.unwrap_or_default();
        entry.state = OperationState::Mined(MinedOperation {
            tx_hash: transaction_of(name.1),
            block,
            succeeded,
            received,
            contract,
            is_final: true,
        });
    }
}

fn transaction_of(id: OperationId) -> B256 {
    keccak256(id.as_bytes())
}

#[async_trait]
impl Chain for MemoryMoney {
    async fn chain_id(&self) -> Result<u64, ChainError> {
        self.reach().map(|_| CHAIN_ID)
    }

    async fn head(&self) -> Result<ChainHead, ChainError> {
        drop(self.reach()?);
        let number = *self.blocks.borrow();
        Ok(ChainHead {
            number,
            timestamp: number,
        })
    }

    fn native_token(&self) -> TokenInfo {
        TokenInfo {
            address: NATIVE_TOKEN,
            kind: TokenKind::Native,
            symbol: "MEM".to_owned(),
            name: "Memory coin".to_owned(),
            decimals: 18,
        }
    }

    async fn native_balance(&self, account: Address) -> Result<U256, ChainError> {
        let state = self.reach()?;
        Ok(state.ledger.coins.get(&account).copied().unwrap_or_default())
    }
}

#[async_trait]
impl Tokens for MemoryMoney {
    async fn describe(&self, token: Address) -> Result<TokenInfo, TokenError> {
        let state = self.reach()?;
        let found = state
            .ledger
            .tokens
            .get(&token)
            .ok_or(TokenError::NoContract(token))?;
        Ok(found.info.clone())
    }

    async fn balance_of(&self, token: Address, account: Address) -> Result<U256, TokenError> {
        let state = self.reach()?;
        let found = state
            .ledger
            .tokens
            .get(&token)
            .ok_or(TokenError::NoContract(token))?;
        Ok(found.balances.get(&account).copied().unwrap_or_default())
    }

    async fn allowance(&self, token: Address, owner: Address, spender: Address) -> Result<U256, TokenError> {
        let state = self.reach()?;
        let found = state
            .ledger
            .tokens
            .get(&token)
            .ok_or(TokenError::NoContract(token))?;
        Ok(found
            .allowances
            .get(&(owner, spender))
            .copied()
            .unwrap_or_default())
    }
}

/// The operations of one account.
pub struct MemoryOperations {
    money: Arc<MemoryMoney>,
    operator: Address,
}

#[async_trait]
impl Operations for MemoryOperations {
    fn operator(&self) -> Address {
        self.operator
    }

    async fn check(&self, operation: &Operation) -> Result<(), ChainError> {
        let mut ledger = self.money.reach()?.ledger.clone();
        ledger
            .apply(self.operator, operation)
            .map(|_| ())
            .map_err(ChainError::Reverted)
    }

    async fn begin(&self, id: OperationId, operation: &Operation) -> Result<B256, ChainError> {
        let tx_hash = transaction_of(id);
        if self.money.lock().operations.contains_key(&(self.operator, id)) {
            return Ok(tx_hash);
        }
        self.check(operation).await?;
        let mut state = self.money.lock();
        let name = (self.operator, id);
        let entry = Entry {
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
        Ok(state
            .operations
            .get(&(self.operator, id))
            .map(|entry| entry.state.clone()))
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
        let name = (self.operator, id);
        let kept = state.operations.get(&name).map(|entry| &entry.state);
        if kept.is_some_and(OperationState::is_final) {
            state.operations.remove(&name);
        }
        Ok(())
    }
}
