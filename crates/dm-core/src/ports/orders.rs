use alloy_primitives::Address;
use async_trait::async_trait;

use super::CatalogError;
use crate::{
    hash::DataHash,
    idempotency::IdempotencyKey,
    operation::OperationId,
    order::{OrderRecord, OrderState, TokenRecord, Tries},
    token::TokenInfo,
};

/// What became of an order that was to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderInsert {
    /// It is new, and durable.
    Inserted,
    /// There is an order with this id or this idempotency key.
    Exists(Box<OrderRecord>),
}

/// An order with its number, which is above 0 and grows in the order of arrival.
pub type NumberedOrder = (u64, OrderRecord);

/// Keeps the orders of this node. An order counts as recorded once the event
/// log of the same catalog has a `transfer` event whose detail `operation` is
/// the order's id.
#[async_trait]
pub trait OrderCatalog: Send + Sync {
    /// Keeps a new order; durable when it returns. Where it is recorded is for
    /// the log to say: the `event_index` that is handed in is not kept.
    async fn insert_order(&self, order: &OrderRecord) -> Result<OrderInsert, CatalogError>;

    /// The order with this id.
    async fn order(&self, id: OperationId) -> Result<Option<OrderRecord>, CatalogError>;

    /// The order for which a client used this key.
    async fn order_by_key(&self, key: &IdempotencyKey) -> Result<Option<OrderRecord>, CatalogError>;

    /// Sets how far an order has come; durable when it returns. Nothing happens
    /// where there is no such order.
    async fn set_order_state(&self, id: OperationId, state: &OrderState) -> Result<(), CatalogError>;

    /// Sets how far a refund has come and what came of its attempts, in one change,
    /// and opens it where it was closed; durable when it returns. Nothing happens
    /// where there is no such order.
    async fn set_order_tries(
        &self,
        id: OperationId,
        state: &OrderState,
        tries: &Tries,
    ) -> Result<(), CatalogError>;

    /// Notes that nothing is left to do for an order.
    async fn close_order(&self, id: OperationId) -> Result<(), CatalogError>;

    /// Orders that are not closed, oldest first, with a number above `after`.
    async fn open_orders(&self, after: u64, limit: usize) -> Result<Vec<NumberedOrder>, CatalogError>;

    /// The newest payment for this share that has not failed, and of which no refund
    /// was sent, made or ended. One that waits to be made may be called off.
    async fn payment_for(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<OrderRecord>, CatalogError>;

    /// Completed payments that were accepted before `before` (milliseconds
    /// since the Unix epoch), whose share does not exist in the same catalog,
    /// and which have no refund, or one that was called off; oldest first, after the
    /// time and the number in `after`.
    async fn undelivered_payments(
        &self,
        before: u64,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<NumberedOrder>, CatalogError>;

    /// Orders with a number below `before` (or all), newest first.
    async fn orders(&self, before: Option<u64>, limit: usize) -> Result<Vec<NumberedOrder>, CatalogError>;
}

/// Keeps the tokens that the node supports besides the chain's own coin.
#[async_trait]
pub trait TokenCatalog: Send + Sync {
    /// Keeps a token; one that is there stays as it is. Whether it is new.
    async fn add_token(&self, token: &TokenRecord) -> Result<bool, CatalogError>;

    /// Keeps what a token says of itself now; since when it is supported and whether
    /// it was issued here stay. Whether there is one at its address.
    async fn update_token(&self, facts: &TokenInfo) -> Result<bool, CatalogError>;

    /// The token at this address.
    async fn token(&self, address: Address) -> Result<Option<TokenRecord>, CatalogError>;

    /// All tokens in the order in which they were added.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, CatalogError>;
}
