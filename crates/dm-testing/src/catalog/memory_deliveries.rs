//! The deliveries of a [`MemoryCatalog`].

use async_trait::async_trait;
use dm_core::{
    Address,
    acknowledgement::Delivery,
    envelope::ObjectId,
    inbox::ItemState,
    ports::{CatalogError, DeliveryCatalog, LogEntry},
};

use super::{MemoryCatalog, memory::State};

impl State {
    /// Notes the position with the delivery that an event records, and that the item which
    /// this node has acknowledged is so, and the share that another has.
    pub(super) fn mark_delivered(&mut self, entry: &LogEntry) {
        let Some(statement) = entry.event.trusted_evidence() else {
            return;
        };
        let (object, recipient) = (statement.object, statement.recipient);
        let kept = find(&mut self.deliveries, &object, recipient);
        if let Some(delivery) = kept.filter(|kept| kept.statement == statement) {
            delivery.leaf_index.get_or_insert(entry.index);
        }
        if recipient == entry.event.log {
            let next = ItemState::Acknowledged;
            self.inbox.advance(&object, next, statement.fetched_at);
        } else {
            self.acknowledge_sent(&statement, entry.index);
        }
    }
}

fn find<'a>(
    deliveries: &'a mut [Delivery],
    object: &ObjectId,
    recipient: Address,
) -> Option<&'a mut Delivery> {
    deliveries
        .iter_mut()
        .find(|kept| (kept.statement.object, kept.statement.recipient) == (*object, recipient))
}

#[async_trait]
impl DeliveryCatalog for MemoryCatalog {
    async fn keep_delivery(&self, new: &Delivery) -> Result<Delivery, CatalogError> {
        self.write(|state| {
            let (object, recipient) = (new.statement.object, new.statement.recipient);
            let new = Delivery {
                leaf_index: None,
                ..new.clone()
            };
            match find(&mut state.deliveries, &object, recipient) {
                Some(kept) if kept.makes_way_for(new.statement.sequence) => *kept = new.clone(),
                Some(kept) => return Ok(kept.clone()),
                None => state.deliveries.push(new.clone()),
            }
            Ok(new)
        })
    }

    async fn delivery(
        &self,
        object: &ObjectId,
        recipient: Address,
    ) -> Result<Option<Delivery>, CatalogError> {
        let mut state = self.read()?;
        Ok(find(&mut state.deliveries, object, recipient).map(|kept| kept.clone()))
    }

    async fn deliveries(&self, object: &ObjectId) -> Result<Vec<Delivery>, CatalogError> {
        let state = self.read()?;
        let of_object = state
            .deliveries
            .iter()
            .filter(|kept| kept.statement.object == *object);
        let mut deliveries: Vec<Delivery> = of_object.cloned().collect();
        deliveries.sort_unstable_by_key(|delivery| delivery.statement.recipient);
        Ok(deliveries)
    }

    async fn unrecorded_deliveries(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, CatalogError> {
        let state = self.read()?;
        let numbered = (1..).zip(&state.deliveries);
        let unrecorded = numbered.filter(|(number, kept)| *number > after && kept.leaf_index.is_none());
        let page = unrecorded.take(limit);
        Ok(page.map(|(number, kept)| (number, kept.clone())).collect())
    }
}
