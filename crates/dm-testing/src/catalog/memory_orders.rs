//! The orders of a [`MemoryCatalog`].

use async_trait::async_trait;
use dm_core::{
    Address,
    hash::DataHash,
    idempotency::IdempotencyKey,
    news::News,
    operation::OperationId,
    order::{OrderRecord, OrderState, Purpose, Tries},
    ports::{CatalogError, NumberedOrder, OrderCatalog, OrderInsert},
};

use super::{MemoryCatalog, memory::State};

/// In the order of arrival; the first has number 1.
#[derive(Default)]
pub(super) struct MemoryOrders(Vec<KeptOrder>);

struct KeptOrder {
    /// Its `event_index` is unset: the log says where an order is recorded.
    record: OrderRecord,
    closed: bool,
    /// Whether the share that it pays for exists or has existed.
    delivered: bool,
}

impl MemoryOrders {
    fn get_mut(&mut self, id: OperationId) -> Option<&mut KeptOrder> {
        self.0.iter_mut().find(|kept| kept.record.id == id)
    }

    /// Payments for this share are delivered with it.
    pub(super) fn deliver(&mut self, data_hash: &DataHash, recipient: Address) {
        self.set_delivered(data_hash, recipient, true);
    }

    /// The share never was.
    pub(super) fn take_back_delivery(&mut self, data_hash: &DataHash, recipient: Address) {
        self.set_delivered(data_hash, recipient, false);
    }

    fn set_delivered(&mut self, data_hash: &DataHash, recipient: Address, delivered: bool) {
        let paid = Purpose::Payment {
            data_hash: *data_hash,
            recipient,
        };
        for kept in self.0.iter_mut().filter(|kept| kept.record.purpose == paid) {
            kept.delivered = delivered;
        }
    }

    /// Whether there was a payment for this share, whatever became of it.
    pub(super) fn has_payment(&self, data_hash: &DataHash, recipient: Address) -> bool {
        let purpose = Purpose::Payment {
            data_hash: *data_hash,
            recipient,
        };
        self.0.iter().any(|kept| kept.record.purpose == purpose)
    }

    /// Whether a payment has a refund in a state like this.
    fn has_refund(&self, id: OperationId, like: impl Fn(&OrderState) -> bool) -> bool {
        let mut records = self.0.iter().map(|kept| &kept.record);
        records.any(|record| record.purpose == Purpose::Refund { of: id } && like(&record.state))
    }
}

impl State {
    fn order(&self, matches: impl Fn(&OrderRecord) -> bool) -> Option<OrderRecord> {
        let mut records = self.orders.0.iter().map(|kept| &kept.record);
        records.find(|record| matches(record)).map(|kept| self.seen(kept))
    }

    /// An order with the position of its event.
    fn seen(&self, kept: &OrderRecord) -> OrderRecord {
        OrderRecord {
            event_index: self.log.order_recorded_at(kept.id),
            ..kept.clone()
        }
    }

    fn numbered_orders(&self) -> impl DoubleEndedIterator<Item = (u64, &KeptOrder)> {
        let orders = self.orders.0.iter().enumerate();
        orders.map(|(place, kept)| (place as u64 + 1, kept))
    }

    /// Whether it is a completed payment that has neither led to a share nor to a
    /// refund that stands.
    fn is_undelivered(&self, kept: &KeptOrder) -> bool {
        let order = &kept.record;
        matches!(order.purpose, Purpose::Payment { .. })
            && matches!(order.state, OrderState::Completed { .. })
            && !kept.delivered
            && !self
                .orders
                .has_refund(order.id, |state| *state != OrderState::CalledOff)
    }
}

#[async_trait]
impl OrderCatalog for MemoryCatalog {
    async fn insert_order(&self, order: &OrderRecord) -> Result<OrderInsert, CatalogError> {
        self.write(|state| {
            let same_key = |kept: &OrderRecord| {
                order.idempotency_key.is_some() && kept.idempotency_key == order.idempotency_key
            };
            let existing = state.order(|kept| kept.id == order.id);
            if let Some(kept) = existing.or_else(|| state.order(same_key)) {
                return Ok(OrderInsert::Exists(Box::new(kept)));
            }
            let delivered = match order.purpose {
                Purpose::Payment { data_hash, recipient } => state.has_share(&data_hash, recipient),
                _ => false,
            };
            state.orders.0.push(KeptOrder {
                record: OrderRecord {
                    event_index: None,
                    ..order.clone()
                },
                closed: false,
                delivered,
            });
            Ok(OrderInsert::Inserted)
        })
    }

    async fn order(&self, id: OperationId) -> Result<Option<OrderRecord>, CatalogError> {
        Ok(self.read()?.order(|kept| kept.id == id))
    }

    async fn order_by_key(&self, key: &IdempotencyKey) -> Result<Option<OrderRecord>, CatalogError> {
        Ok(self
            .read()?
            .order(|kept| kept.idempotency_key.as_ref() == Some(key)))
    }

    async fn set_order_state(&self, id: OperationId, new: &OrderState) -> Result<(), CatalogError> {
        self.write(|state| {
            if let Some(kept) = state.orders.get_mut(id) {
                kept.record.state = new.clone();
                let news = News::of_order(&kept.record);
                state.journal.append_all(news);
            }
            Ok(())
        })
    }

    async fn set_order_tries(
        &self,
        id: OperationId,
        new: &OrderState,
        tries: &Tries,
    ) -> Result<(), CatalogError> {
        self.write(|state| {
            if let Some(kept) = state.orders.get_mut(id) {
                kept.record.state = new.clone();
                kept.record.tries = tries.clone();
                kept.closed = false;
                let news = News::of_order(&kept.record);
                state.journal.append_all(news);
            }
            Ok(())
        })
    }

    async fn close_order(&self, id: OperationId) -> Result<(), CatalogError> {
        self.write(|state| {
            if let Some(kept) = state.orders.get_mut(id) {
                kept.closed = true;
            }
            Ok(())
        })
    }

    async fn open_orders(&self, after: u64, limit: usize) -> Result<Vec<NumberedOrder>, CatalogError> {
        let state = self.read()?;
        let open = state
            .numbered_orders()
            .filter(|(number, kept)| *number > after && !kept.closed);
        Ok(open
            .take(limit)
            .map(|(number, kept)| (number, state.seen(&kept.record)))
            .collect())
    }

    async fn payment_for(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<OrderRecord>, CatalogError> {
        let state = self.read()?;
        let data_hash = *data_hash;
        let mut newest_first = state.orders.0.iter().rev().map(|kept| &kept.record);
        let standing = newest_first.find(|order| {
            order.purpose == Purpose::Payment { data_hash, recipient }
                && !matches!(order.state, OrderState::Failed { .. })
                && !state.orders.has_refund(order.id, |refund| {
                    !matches!(refund, OrderState::Accepted | OrderState::CalledOff)
                })
        });
        Ok(standing.map(|order| state.seen(order)))
    }

    async fn undelivered_payments(
        &self,
        before: u64,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<NumberedOrder>, CatalogError> {
        let state = self.read()?;
        let place = |(number, kept): &(u64, &KeptOrder)| (kept.record.created_at, *number);
        let mut undelivered: Vec<(u64, &KeptOrder)> = state
            .numbered_orders()
            .filter(|(_, kept)| kept.record.created_at < before && state.is_undelivered(kept))
            .filter(|order| after.is_none_or(|after| place(order) > after))
            .collect();
        undelivered.sort_by_key(place);
        Ok(undelivered
            .into_iter()
            .take(limit)
            .map(|(number, kept)| (number, state.seen(&kept.record)))
            .collect())
    }

    async fn orders(&self, before: Option<u64>, limit: usize) -> Result<Vec<NumberedOrder>, CatalogError> {
        let state = self.read()?;
        let before = before.unwrap_or(u64::MAX);
        let newest_first = state
            .numbered_orders()
            .rev()
            .filter(|(number, _)| *number < before);
        Ok(newest_first
            .take(limit)
            .map(|(number, kept)| (number, state.seen(&kept.record)))
            .collect())
    }
}
