//! The order executor: keeps each order before anything is sent, and sees it
//! through to its end, exactly once, whatever is interrupted in between.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    bus::EventBus,
    clock::now_ms,
    idempotency::IdempotencyKey,
    operation::OperationId,
    order::{Order, OrderRecord, OrderState, Purpose, Tries},
    ports::{Chain, ComplianceLog, Operations, OrderCatalog, OrderInsert, TokenCatalog, Tokens},
};

use super::{ServiceError, keyed_locks::KeyedLocks};

mod advance;
mod event;
mod prepare;
mod refund;
#[cfg(test)]
mod tests;
mod upkeep;

pub(super) use refund::refund_of;
use upkeep::Touched;

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
    locks: KeyedLocks<OperationId>,
    touched: Touched,
}

impl OrderExecutor {
    /// A executor over these ports. What a stop has interrupted goes on in
    /// [`OrderExecutor::run`], which the caller runs as a supervised task.
    pub fn new(ports: MoneyPorts, settings: MoneyConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                ports,
                settings,
                locks: KeyedLocks::default(),
                touched: Touched::default(),
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

    /// Keeps an order, durably. The same idempotency key or id again gives the
    /// order that is kept.
    pub(super) async fn place(
        &self,
        id: OperationId,
        order: Order,
        purpose: Purpose,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<OrderRecord, ServiceError> {
        let record = OrderRecord {
            id,
            order,
            purpose,
            idempotency_key,
            created_at: now_ms(),
            state: OrderState::Accepted,
            tries: Tries::default(),
            event_index: None,
        };
        match self.inner.ports.orders.insert_order(&record).await? {
            OrderInsert::Inserted => Ok(record),
            OrderInsert::Exists(kept) if kept.order == record.order => Ok(*kept),
            OrderInsert::Exists(_) => Err(ServiceError::IdempotencyKeyReused),
        }
    }

    /// The order for which a client used this key before, if it is the same
    /// order.
    pub(super) async fn repeated(
        &self,
        key: Option<&IdempotencyKey>,
        order: &Order,
    ) -> Result<Option<OrderRecord>, ServiceError> {
        let Some(key) = key else {
            return Ok(None);
        };
        match self.inner.ports.orders.order_by_key(key).await? {
            Some(kept) if kept.order != *order => Err(ServiceError::IdempotencyKeyReused),
            kept => Ok(kept),
        }
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
        let placed = self.place(id, order, purpose, idempotency_key).await?;
        self.continue_with(placed.id).await
    }

    /// Goes on with a kept order as far as the patience of the settings allows.
    /// Runs to its end also where the client goes away.
    pub(super) async fn continue_with(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        let executor = self.clone();
        let patience = self.inner.settings.patience;
        super::run_to_completion(async move { executor.advance(id, patience).await }).await
    }
}
