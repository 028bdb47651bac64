//! The order executor: keeps each order before anything is sent, and sees it
//! through to its end, exactly once, whatever is interrupted in between.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    bus::EventBus,
    idempotency::IdempotencyKey,
    keyed_locks::{KeyedLocks, LockGuard},
    operation::OperationId,
    order::{Order, OrderRecord, Purpose},
    ports::{Chain, ChainError, ComplianceLog, Operations, OrderCatalog, TokenCatalog, Tokens},
};

use super::{LeaderCalls, ServiceError, run_to_completion};

mod advance;
mod balances;
mod calls;
mod event;
mod kept;
mod prepare;
mod refund;
mod refund_attempts;
#[cfg(test)]
mod tests;
mod upkeep;

pub(super) use refund::{Refunds, refund_of};

use balances::Balances;
use kept::KeptOrders;
use prepare::Preparation;
use refund_attempts::RefundAttempts;

/// What everything that handles money works with.
#[derive(Clone)]
pub struct MoneyPorts {
    /// The chain's own coin.
    pub chain: Arc<dyn Chain>,
    /// The token contracts.
    pub tokens: Arc<dyn Tokens>,
    /// What the operator account does.
    pub operations: Arc<dyn Operations>,
    /// Where orders are kept.
    pub orders: Arc<dyn OrderCatalog>,
    /// Where supported tokens are kept.
    pub supported: Arc<dyn TokenCatalog>,
    /// The compliance log.
    pub log: Arc<dyn ComplianceLog>,
    /// Who wants to know.
    pub bus: EventBus,
}

/// What an operator can set about money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoneyConfig {
    /// The address under which clients name the chain's own coin, besides
    /// [`NATIVE_TOKEN`](dm_core::token::NATIVE_TOKEN).
    pub native_alias: Address,
    /// How long a request waits for its transaction to be mined.
    pub patience: Duration,
    /// How long a payment waits for its share before it is given back.
    pub refund_after: Duration,
    /// Between two looks at what is not done yet; the pause between two attempts of
    /// a refund grows from it to 256 times as much.
    pub retry_interval: Duration,
}

/// Keeps orders and carries them out; cheap to clone.
#[derive(Clone)]
pub struct OrderExecutor {
    inner: Arc<Inner>,
}

struct Inner {
    ports: MoneyPorts,
    settings: MoneyConfig,
    kept: Arc<KeptOrders>,
    preparation: Preparation,
    refund_attempts: RefundAttempts,
    balances: Arc<Balances>,
    locks: KeyedLocks<OperationId>,
    /// Where the node may have several instances: the leader alone moves money.
    calls: Option<LeaderCalls>,
}

impl OrderExecutor {
    /// An executor over these ports. What a stop has interrupted goes on in
    /// [`OrderExecutor::run`], which the caller runs as a supervised task.
    pub fn new(ports: MoneyPorts, settings: MoneyConfig) -> Self {
        Self::with_calls(ports, settings, None)
    }

    /// The same, where the node may have several instances: requests have the leader carry
    /// their orders out, in its [`OrderExecutor::run`].
    pub fn among_instances(ports: MoneyPorts, settings: MoneyConfig, calls: LeaderCalls) -> Self {
        Self::with_calls(ports, settings, Some(calls))
    }

    fn with_calls(ports: MoneyPorts, settings: MoneyConfig, calls: Option<LeaderCalls>) -> Self {
        let balances = Arc::new(Balances::new(&ports));
        let kept = Arc::new(KeptOrders::new(&ports, balances.clone()));
        Self {
            inner: Arc::new(Inner {
                preparation: Preparation::new(&ports),
                refund_attempts: RefundAttempts::new(&ports, kept.clone(), settings.retry_interval),
                kept,
                balances,
                locks: KeyedLocks::default(),
                calls,
                settings,
                ports,
            }),
        }
    }

    /// The account that carries orders out.
    pub fn operator(&self) -> Address {
        self.inner.ports.operations.operator()
    }

    pub(super) fn ports(&self) -> &MoneyPorts {
        &self.inner.ports
    }

    pub(super) fn settings(&self) -> &MoneyConfig {
        &self.inner.settings
    }

    fn kept(&self) -> &KeptOrders {
        &self.inner.kept
    }

    /// Waits for whoever works on the order.
    async fn lock(&self, id: OperationId) -> LockGuard {
        self.inner.locks.lock(id).await
    }

    /// Tries an order on the chain's pending state, with what goes before it.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] where it would be undone.
    pub(crate) async fn check(&self, order: &Order) -> Result<(), ChainError> {
        self.inner.preparation.check(order).await
    }

    /// The order for which a client used this key before, if it is the same
    /// order.
    pub(super) async fn repeated(
        &self,
        key: Option<&IdempotencyKey>,
        order: &Order,
    ) -> Result<Option<OrderRecord>, ServiceError> {
        self.kept().repeated(key, order).await
    }

    /// Keeps an order that was checked, carries it out, and waits for that no
    /// longer than the patience of the settings.
    pub(super) async fn carry_out(
        &self,
        id: OperationId,
        order: Order,
        purpose: Purpose,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<OrderRecord, ServiceError> {
        let placed = self.kept().place(id, order, purpose, idempotency_key).await?;
        self.continue_with(placed.id).await
    }

    /// Goes on with a kept order as far as the patience of the settings allows.
    /// Runs to its end also where the client goes away.
    pub(super) async fn continue_with(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        if self.must_ask() {
            return self.ask_to_continue(id).await;
        }
        let executor = self.clone();
        let patience = self.inner.settings.patience;
        run_to_completion(async move { executor.advance(id, patience).await }).await
    }
}
