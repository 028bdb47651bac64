//! The orders of this node.

use async_trait::async_trait;
use dm_core::{
    Address,
    hash::DataHash,
    idempotency::IdempotencyKey,
    operation::OperationId,
    order::{OrderRecord, OrderState, Tries},
    ports::{CatalogError, NumberedOrder, OrderCatalog, OrderInsert},
};

use super::{
    SqliteCatalog,
    change::{BulkChange, Outcome, SingleChange},
    columns::bound,
    error::{failed, from_sqlx},
    order_rows::{order_columns, read, read_numbered},
    pages::Source,
    sql::{self, Target},
};

const ORDERS: Source = Source::new("orders", "number");

pub(super) const BY_ID: &str = concat!("SELECT ", order_columns!(), " FROM orders o WHERE o.id = ?");
pub(super) const BY_KEY: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders o WHERE o.client = ? AND o.idempotency_key = ?"
);
pub(super) const OPEN: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders o WHERE o.is_closed = 0 AND o.number > ? ORDER BY o.number LIMIT +?"
);
pub(super) const PAGE: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders o WHERE o.number < ? ORDER BY o.number DESC LIMIT +?"
);
pub(super) const PAYMENT_FOR: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders o WHERE o.locator = ? AND o.recipient = ? AND o.status <> 'failed'
      AND NOT EXISTS (
          SELECT 1 FROM orders r WHERE r.refund_of = o.id AND r.status NOT IN ('accepted', 'called_off')
      )
      ORDER BY o.number DESC LIMIT 1"
);
pub(super) const UNDELIVERED: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders o WHERE o.undelivered = 1 AND o.status = 'completed' AND o.created_at < ?
      AND (o.created_at, o.number) > (?, ?) ORDER BY o.created_at, o.number LIMIT +?"
);

pub(super) async fn by_id(
    executor: impl Into<Target<'_>>,
    id: OperationId,
) -> Result<Option<OrderRecord>, CatalogError> {
    let query = sql::query(BY_ID).bind(id.as_bytes().to_vec());
    let row = query.fetch_optional(executor).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn by_key(
    executor: impl Into<Target<'_>>,
    key: &IdempotencyKey,
) -> Result<Option<OrderRecord>, CatalogError> {
    let query = sql::query(BY_KEY).bind(key.client.clone()).bind(key.key.clone());
    let row = query.fetch_optional(executor).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

#[async_trait]
impl OrderCatalog for SqliteCatalog {
    async fn insert_order(&self, order: &OrderRecord) -> Result<OrderInsert, CatalogError> {
        let change = BulkChange::InsertOrder(Box::new(order.clone()));
        match self.writer.write(change).await? {
            Outcome::Order(insert) => Ok(insert),
            _ => Err(failed("the outcome is not that of an order")),
        }
    }

    async fn order(&self, id: OperationId) -> Result<Option<OrderRecord>, CatalogError> {
        by_id(&self.reads, id).await
    }

    async fn order_by_key(&self, key: &IdempotencyKey) -> Result<Option<OrderRecord>, CatalogError> {
        by_key(&self.reads, key).await
    }

    async fn set_order_state(&self, id: OperationId, state: &OrderState) -> Result<(), CatalogError> {
        let state = state.clone();
        self.make(BulkChange::SetOrderState { id, state }).await
    }

    async fn set_order_tries(
        &self,
        id: OperationId,
        state: &OrderState,
        tries: &Tries,
    ) -> Result<(), CatalogError> {
        let (state, tries) = (state.clone(), tries.clone());
        self.make(SingleChange::SetOrderTries { id, state, tries }).await
    }

    async fn close_order(&self, id: OperationId) -> Result<(), CatalogError> {
        self.make(BulkChange::CloseOrder(id)).await
    }

    async fn open_orders(&self, after: u64, limit: usize) -> Result<Vec<NumberedOrder>, CatalogError> {
        let query = |rows| sql::query(OPEN).bind(bound(after)).bind(rows);
        self.page(ORDERS, limit, query, read_numbered).await
    }

    async fn payment_for(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<OrderRecord>, CatalogError> {
        let query = sql::query(PAYMENT_FOR)
            .bind(data_hash.locator().as_bytes().to_vec())
            .bind(recipient.to_vec());
        let row = query.fetch_optional(&self.reads).await.map_err(from_sqlx)?;
        row.as_ref().map(read).transpose()
    }

    async fn undelivered_payments(
        &self,
        before: u64,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<NumberedOrder>, CatalogError> {
        let (at, number) = after.unwrap_or_default();
        let query = |rows| {
            sql::query(UNDELIVERED)
                .bind(bound(before))
                .bind(bound(at))
                .bind(bound(number))
                .bind(rows)
        };
        self.page(ORDERS, limit, query, read_numbered).await
    }

    async fn orders(&self, before: Option<u64>, limit: usize) -> Result<Vec<NumberedOrder>, CatalogError> {
        let before = before.map_or(i64::MAX, bound);
        let query = |rows| sql::query(PAGE).bind(before).bind(rows);
        self.page(ORDERS, limit, query, read_numbered).await
    }
}
