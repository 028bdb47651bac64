//! Tokens and operations in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256, U256, keccak256};
use async_trait::async_trait;
use dm_core::{
    operation::{Operation, OperationId},
    ports::{Chain, ChainError, ChainHead, MinedOperation, OperationState, TokenError, Tokens},
    token::{NATIVE_TOKEN, TokenInfo, TokenKind},
};
use tokio::sync::watch;

use super::{
    ledger::{Effect, Ledger, MemoryToken},
    operations::MemoryOperations,
};

/// The id that it has as a chain.
const CHAIN_ID: u64 = 31_337;

/// Accounts, tokens, and blocks that come with each operation, or when they
/// are asked for.
pub struct MemoryMoney {
    state: Mutex<State>,
    pub(super) blocks: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) mines_by_itself: bool,
    is_away: bool,
    /// What it answers to whoever tries or begins an operation.
    pub(super) refusal: Option<ChainError>,
    /// Why the chain refuses for good what it is to mine.
    giving_up: Option<String>,
    /// Operations that are still to be undone when they are mined.
    undone: u32,
    takes_back: bool,
    /// What was there before the newest block, and what that has; unless it is final.
    newest_block: Option<(Ledger, Vec<(Address, OperationId)>)>,
    pub(super) waiting: Vec<(Address, OperationId)>,
    pub(super) operations: HashMap<(Address, OperationId), BegunOperation>,
}

pub(super) struct BegunOperation {
    pub(super) operation: Operation,
    pub(super) state: OperationState,
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
        Arc::new(MemoryOperations::new(self.clone(), operator))
    }

    /// Answers whoever tries or begins an operation with this error, such as that
    /// gas is too dear just now, or carries on.
    pub fn set_refusal(&self, refusal: Option<ChainError>) {
        self.lock().refusal = refusal;
    }

    /// Undoes as many of the next operations when they are mined.
    pub fn undo_next(&self, operations: u32) {
        self.lock().undone = operations;
    }

    /// Whether blocks may still be taken back, until [`MemoryMoney::finalise`].
    pub fn set_taking_back(&self, takes_back: bool) {
        self.lock().takes_back = takes_back;
    }

    /// Makes final what is mined.
    pub fn finalise(&self) {
        let mut state = self.lock();
        state.newest_block = None;
        for entry in state.operations.values_mut() {
            match &mut entry.state {
                OperationState::Pending { .. } => {}
                OperationState::Mined(mined) => mined.is_final = true,
                OperationState::Refused { is_final, .. } => *is_final = true,
            }
        }
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
    pub fn set_giving_up(&self, reason: Option<&str>) {
        self.lock().giving_up = reason.map(str::to_owned);
    }

    /// Mines what waits.
    pub fn mine(&self) {
        let mut state = self.lock();
        let block = *self.blocks.borrow() + 1;
        let names = std::mem::take(&mut state.waiting);
        state.newest_block = state.takes_back.then(|| (state.ledger.clone(), names.clone()));
        for name in names {
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
            let had_effect = matches!(&entry.state, OperationState::Mined(mined) if mined.succeeded);
            entry.state = OperationState::Pending { tx_hash };
            let operation = entry.operation.clone();
            if had_effect {
                state.ledger.undo(operator, &operation);
            }
            state.waiting.push((operator, id));
        }
    }

    /// Undoes the newest block, unless it is final: what it had waits again.
    pub fn reorganise_newest(&self) {
        let mut state = self.lock();
        let Some((before, names)) = state.newest_block.take() else {
            return;
        };
        state.ledger = before;
        for (account, id) in names {
            let tx_hash = transaction_of(id);
            if let Some(entry) = state.operations.get_mut(&(account, id)) {
                entry.state = OperationState::Pending { tx_hash };
                state.waiting.push((account, id));
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, unless the chain is away.
    pub(super) fn reach(&self) -> Result<MutexGuard<'_, State>, ChainError> {
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
        if let Some(reason) = &self.giving_up {
            entry.state = OperationState::Refused {
                tx_hash: transaction_of(name.1),
                reason: reason.clone(),
                is_final: !self.takes_back,
            };
            return;
        }
        let effect = match self.undone {
            0 => self.ledger.apply(name.0, &entry.operation),
            left => {
                self.undone = left - 1;
                Err("it was told to".to_owned())
            }
        };
        let succeeded = effect.is_ok();
        let Effect { received, contract } = effect.unwrap_or_default();
        entry.state = OperationState::Mined(MinedOperation {
            tx_hash: transaction_of(name.1),
            block,
            succeeded,
            received,
            contract,
            is_final: !self.takes_back,
        });
    }
}

pub(super) fn transaction_of(id: OperationId) -> B256 {
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
