//! Ports that die: a fuse that burns down stands for the kill of a node. From some call
//! of a port on, before or after its effect, every call fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use dm_core::{
    hash::DataHash,
    idempotency::IdempotencyKey,
    operation::{Operation, OperationId},
    order::{OrderRecord, OrderState, Tries},
    ports::{CatalogError, ChainError, NumberedOrder, OperationState, Operations, OrderCatalog, OrderInsert},
};

/// Calls after which the node is dead; counts a call before its effect and
/// once more after it.
#[derive(Debug, Clone)]
pub struct Fuse(Arc<AtomicI64>);

impl Fuse {
    /// A fuse of this length.
    pub fn new(length: i64) -> Self {
        Self(Arc::new(AtomicI64::new(length)))
    }

    fn burns(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) <= 0
    }

    /// Whether the node is dead.
    pub fn is_burnt(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }

    /// Makes a call, unless the node is dead before or after it.
    async fn guard<T, E>(&self, call: impl Future<Output = Result<T, E>>, dead: fn() -> E) -> Result<T, E> {
        if self.burns() {
            return Err(dead());
        }
        let result = call.await;
        if self.burns() { Err(dead()) } else { result }
    }
}

fn dead_catalog() -> CatalogError {
    CatalogError::Failed("killed".into())
}

fn dead_chain() -> ChainError {
    ChainError::Unavailable("killed".to_owned())
}

/// A port of a node that dies.
pub struct Mortal<P: ?Sized> {
    fuse: Fuse,
    port: Arc<P>,
}

impl<P: ?Sized> Mortal<P> {
    /// The port of a node with this fuse.
    pub fn new(fuse: &Fuse, port: Arc<P>) -> Self {
        Self {
            fuse: fuse.clone(),
            port,
        }
    }
}

#[async_trait]
impl OrderCatalog for Mortal<dyn OrderCatalog> {
    async fn insert_order(&self, order: &OrderRecord) -> Result<OrderInsert, CatalogError> {
        self.fuse.guard(self.port.insert_order(order), dead_catalog).await
    }
    async fn order(&self, id: OperationId) -> Result<Option<OrderRecord>, CatalogError> {
        self.fuse.guard(self.port.order(id), dead_catalog).await
    }
    async fn order_by_key(&self, key: &IdempotencyKey) -> Result<Option<OrderRecord>, CatalogError> {
        self.fuse.guard(self.port.order_by_key(key), dead_catalog).await
    }
    async fn set_order_state(&self, id: OperationId, state: &OrderState) -> Result<(), CatalogError> {
        self.fuse
            .guard(self.port.set_order_state(id, state), dead_catalog)
            .await
    }
    async fn set_order_tries(
        &self,
        id: OperationId,
        state: &OrderState,
        tries: &Tries,
    ) -> Result<(), CatalogError> {
        self.fuse
            .guard(self.port.set_order_tries(id, state, tries), dead_catalog)
            .await
    }
    async fn close_order(&self, id: OperationId) -> Result<(), CatalogError> {
        self.fuse.guard(self.port.close_order(id), dead_catalog).await
    }
    async fn open_orders(&self, after: u64, limit: usize) -> Result<Vec<NumberedOrder>, CatalogError> {
        self.fuse
            .guard(self.port.open_orders(after, limit), dead_catalog)
            .await
    }
    async fn payment_for(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<OrderRecord>, CatalogError> {
        let found = self.port.payment_for(data_hash, recipient);
        self.fuse.guard(found, dead_catalog).await
    }
    async fn undelivered_payments(
        &self,
        before: u64,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<NumberedOrder>, CatalogError> {
        let found = self.port.undelivered_payments(before, after, limit);
        self.fuse.guard(found, dead_catalog).await
    }
    async fn orders(&self, before: Option<u64>, limit: usize) -> Result<Vec<NumberedOrder>, CatalogError> {
        self.fuse
            .guard(self.port.orders(before, limit), dead_catalog)
            .await
    }
}

#[async_trait]
impl Operations for Mortal<dyn Operations> {
    fn operator(&self) -> Address {
        self.port.operator()
    }
    fn can_act_as(&self, account: Address) -> bool {
        self.port.can_act_as(account)
    }
    async fn check(&self, operation: &Operation) -> Result<(), ChainError> {
        self.fuse.guard(self.port.check(operation), dead_chain).await
    }
    async fn begin(&self, id: OperationId, operation: &Operation) -> Result<B256, ChainError> {
        self.fuse.guard(self.port.begin(id, operation), dead_chain).await
    }
    async fn begin_as(
        &self,
        account: Address,
        id: OperationId,
        operation: &Operation,
    ) -> Result<B256, ChainError> {
        let begun = self.port.begin_as(account, id, operation);
        self.fuse.guard(begun, dead_chain).await
    }
    async fn state(&self, id: OperationId) -> Result<Option<OperationState>, ChainError> {
        self.fuse.guard(self.port.state(id), dead_chain).await
    }
    async fn wait(&self, id: OperationId, patience: Duration) -> Result<Option<OperationState>, ChainError> {
        self.fuse.guard(self.port.wait(id, patience), dead_chain).await
    }
    async fn conclude(&self, id: OperationId) -> Result<(), ChainError> {
        self.fuse.guard(self.port.conclude(id), dead_chain).await
    }
}
