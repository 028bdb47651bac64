//! What the operator has of the tokens that orders move.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::Address;
use dm_core::{
    bus::EventBus,
    news::News,
    ports::{Chain, Operations, Tokens},
    token::NATIVE_TOKEN,
};

use super::MoneyPorts;

/// Tells the bus of balances that have changed.
pub(super) struct Balances {
    chain: Arc<dyn Chain>,
    tokens: Arc<dyn Tokens>,
    operations: Arc<dyn Operations>,
    bus: EventBus,
    /// The tokens of which the operator's balance has changed.
    touched: Mutex<HashSet<Address>>,
}

impl Balances {
    pub(super) fn new(ports: &MoneyPorts) -> Self {
        Self {
            chain: ports.chain.clone(),
            tokens: ports.tokens.clone(),
            operations: ports.operations.clone(),
            bus: ports.bus.clone(),
            touched: Mutex::default(),
        }
    }

    /// The operator's balance of this token may have changed.
    pub(super) fn note(&self, token: Address) {
        self.touched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token);
    }

    fn take(&self) -> HashSet<Address> {
        std::mem::take(&mut self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the bus what the operator has now of tokens that were moved.
    pub(super) async fn tell(&self) {
        let operator = self.operations.operator();
        for token in self.take() {
            let balance = if token == NATIVE_TOKEN {
                self.chain.native_balance(operator).await.ok()
            } else {
                self.tokens.balance_of(token, operator).await.ok()
            };
            match balance {
                Some(balance) => self.bus.publish(News::TokenBalanceUpdate {
                    address: operator,
                    token,
                    balance: balance.to_string(),
                }),
                None => self.note(token),
            }
        }
    }
}
