//! Orders as they are kept, and who learns what becomes of them.

use std::sync::Arc;

use dm_core::{
    clock::now_ms,
    idempotency::IdempotencyKey,
    news::News,
    operation::OperationId,
    order::{Order, OrderRecord, OrderState, Purpose, Tries},
    ports::{ComplianceLog, NumberedOrder, OrderCatalog, OrderInsert},
};

use super::{MoneyPorts, balances::Balances, event};
use crate::ServiceError;

/// Keeps orders. The catalog tells the journal what becomes of them; completed movements of
/// money are written into the compliance log as well.
pub(super) struct KeptOrders {
    orders: Arc<dyn OrderCatalog>,
    log: Arc<dyn ComplianceLog>,
    balances: Arc<Balances>,
}

impl KeptOrders {
    pub(super) fn new(ports: &MoneyPorts, balances: Arc<Balances>) -> Self {
        Self {
            orders: ports.orders.clone(),
            log: ports.log.clone(),
            balances,
        }
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
        match self.orders.insert_order(&record).await? {
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
        match self.orders.order_by_key(key).await? {
            Some(kept) if kept.order != *order => Err(ServiceError::IdempotencyKeyReused),
            kept => Ok(kept),
        }
    }

    /// The order with this id, if there is one.
    pub(super) async fn find(&self, id: OperationId) -> Result<Option<OrderRecord>, ServiceError> {
        Ok(self.orders.order(id).await?)
    }

    /// The order with this id, which there has to be.
    pub(super) async fn order(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        let kept = self.find(id).await?;
        kept.ok_or_else(|| ServiceError::Fault(format!("there is no order {id}").into()))
    }

    /// At most so many orders that are not closed, with numbers above this one.
    pub(super) async fn open(&self, after: u64, limit: usize) -> Result<Vec<NumberedOrder>, ServiceError> {
        Ok(self.orders.open_orders(after, limit).await?)
    }

    /// Nothing can change any more what has become of an order.
    pub(super) async fn close(&self, id: OperationId) -> Result<(), ServiceError> {
        Ok(self.orders.close_order(id).await?)
    }

    /// Keeps what has become of an order, and announces it.
    pub(super) async fn set_state(
        &self,
        record: &mut OrderRecord,
        state: OrderState,
    ) -> Result<(), ServiceError> {
        self.orders.set_order_state(record.id, &state).await?;
        record.state = state;
        self.note_balance(record);
        Ok(())
    }

    /// Keeps how far the attempts of a refund are.
    pub(super) async fn set_tries(
        &self,
        record: &mut OrderRecord,
        state: OrderState,
        tries: Tries,
    ) -> Result<(), ServiceError> {
        self.orders.set_order_tries(record.id, &state, &tries).await?;
        (record.state, record.tries) = (state, tries);
        Ok(())
    }

    /// Writes a completed order into the compliance log, once.
    pub(super) async fn record_event(&self, record: &mut OrderRecord) -> Result<(), ServiceError> {
        if record.event_index.is_none()
            && let Some(event) = event::event_of(record)
        {
            let recorded = self.log.record(event).await?;
            record.event_index = Some(recorded.index);
        }
        Ok(())
    }

    /// Has the balance looked at that an order may have changed.
    pub(super) fn note_balance(&self, record: &OrderRecord) {
        if let Order::Transfer(transfer) = &record.order
            && News::of_order(record).is_some()
        {
            self.balances.note(transfer.token);
        }
    }
}
