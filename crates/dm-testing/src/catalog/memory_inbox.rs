//! The inbox of a [`MemoryCatalog`].

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;
use dm_core::{
    envelope::ObjectId,
    hash::DataHash,
    inbox::{Arrival, InboxItem, InboxQuery, ItemState, Term},
    news::News,
    ports::{CatalogError, ErasureCause, InboxCatalog},
};

use super::MemoryCatalog;

#[derive(Default)]
pub(super) struct MemoryInbox {
    /// In the order of their numbers, which begin at 1.
    entries: Vec<Entry>,
    arrivals: BTreeMap<ObjectId, u64>,
}

struct Entry {
    item: InboxItem,
    terms: BTreeSet<Term>,
    is_removed: bool,
}

impl MemoryInbox {
    /// Ends the items of data that is erased.
    pub(super) fn end(&mut self, data_hash: &DataHash, cause: ErasureCause) {
        let end = ItemState::of_erasure(cause);
        for item in self.of_data(data_hash) {
            if item.state.leads_to(end) {
                item.state = end;
            }
        }
    }

    pub(super) fn is_listed(&self, object: &ObjectId) -> bool {
        let mut entries = self.entries.iter().filter(|entry| !entry.is_removed);
        entries.any(|entry| entry.item.id() == *object)
    }

    /// Moves an item; whether its state leads there.
    pub(super) fn advance(&mut self, object: &ObjectId, next: ItemState, now: u64) -> bool {
        let mut entries = self.entries.iter_mut().filter(|entry| !entry.is_removed);
        let item = entries
            .find(|entry| entry.item.id() == *object)
            .map(|entry| &mut entry.item);
        let Some(item) = item.filter(|item| item.state.leads_to(next)) else {
            return false;
        };
        item.state = next;
        if !next.is_over() {
            item.fetched_at.get_or_insert(now);
        }
        true
    }

    fn of_data(&mut self, data_hash: &DataHash) -> impl Iterator<Item = &mut InboxItem> {
        let entries = self.entries.iter_mut().filter(|entry| !entry.is_removed);
        entries
            .map(|entry| &mut entry.item)
            .filter(|item| item.data_hash == *data_hash)
    }

    fn list(&mut self, item: &InboxItem, terms: &[Term]) -> bool {
        let terms = terms.iter().copied().collect();
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.item.id() == item.id()) else {
            let last = self.entries.last().map_or(0, |entry| entry.item.received_at);
            self.entries.push(Entry {
                item: InboxItem {
                    received_at: item.received_at.max(last),
                    ..item.clone()
                },
                terms,
                is_removed: false,
            });
            return true;
        };
        if entry.is_removed {
            return false;
        }
        let anchored = entry.item.anchored || item.anchored;
        if item.sequence >= entry.item.sequence {
            let state = entry.item.state;
            entry.item = InboxItem {
                received_at: entry.item.received_at,
                state: if state.is_over() { item.state } else { state },
                fetched_at: entry.item.fetched_at.or(item.fetched_at),
                ..item.clone()
            };
            entry.terms = terms;
        }
        entry.item.anchored = anchored;
        false
    }
}

impl Entry {
    fn fits(&self, number: u64, query: &InboxQuery) -> bool {
        !self.is_removed
            && query.terms.iter().all(|term| self.terms.contains(term))
            && (query.states.is_empty() || query.states.contains(&self.item.state))
            && query.since.is_none_or(|since| self.item.received_at >= since)
            && query.before.is_none_or(|before| number < before)
    }
}

#[async_trait]
impl InboxCatalog for MemoryCatalog {
    async fn list_item(&self, item: &InboxItem, terms: &[Term]) -> Result<bool, CatalogError> {
        self.write(|state| {
            let is_new = state.inbox.list(item, terms);
            state.journal.append_all(News::of_item(item).filter(|_| is_new));
            Ok(is_new)
        })
    }

    async fn inbox_item(&self, object: &ObjectId) -> Result<Option<InboxItem>, CatalogError> {
        let state = self.read()?;
        let mut entries = state.inbox.entries.iter().filter(|entry| !entry.is_removed);
        let found = entries.find(|entry| entry.item.id() == *object);
        Ok(found.map(|entry| entry.item.clone()))
    }

    async fn listed_among(&self, objects: &[ObjectId]) -> Result<HashSet<ObjectId>, CatalogError> {
        let state = self.read()?;
        let listed = state.inbox.entries.iter().filter(|entry| !entry.is_removed);
        let listed: HashSet<ObjectId> = listed.map(|entry| entry.item.id()).collect();
        Ok(objects
            .iter()
            .filter(|object| listed.contains(*object))
            .copied()
            .collect())
    }

    async fn items_of(&self, data_hash: &DataHash) -> Result<Vec<InboxItem>, CatalogError> {
        let mut state = self.read()?;
        let mut items: Vec<_> = state.inbox.of_data(data_hash).map(|item| item.clone()).collect();
        items.reverse();
        Ok(items)
    }

    async fn inbox_items(&self, query: &InboxQuery) -> Result<Vec<(u64, InboxItem)>, CatalogError> {
        let state = self.read()?;
        let numbered = (1..).zip(&state.inbox.entries);
        let mut fitting: Vec<_> = numbered
            .filter(|(number, entry)| entry.fits(*number, query))
            .map(|(number, entry)| (number, entry.item.clone()))
            .collect();
        fitting.reverse();
        fitting.truncate(query.limit);
        Ok(fitting)
    }

    async fn advance_item(
        &self,
        object: &ObjectId,
        state: ItemState,
        now: u64,
    ) -> Result<bool, CatalogError> {
        self.write(|kept| Ok(kept.inbox.advance(object, state, now)))
    }

    async fn expire_items(&self, now: u64) -> Result<(), CatalogError> {
        self.write(|state| {
            for Entry { item, .. } in &mut state.inbox.entries {
                if item.expires_at.is_some_and(|at| at <= now) && item.state.leads_to(ItemState::Expired) {
                    item.state = ItemState::Expired;
                }
            }
            Ok(())
        })
    }

    async fn remove_items(&self, data_hash: &DataHash) -> Result<bool, CatalogError> {
        self.write(|state| {
            let mut removed = false;
            for entry in &mut state.inbox.entries {
                if entry.item.data_hash == *data_hash && !entry.is_removed {
                    (entry.is_removed, removed) = (true, true);
                }
            }
            Ok(removed)
        })
    }

    async fn note_arrivals(&self, arrivals: &[Arrival]) -> Result<(), CatalogError> {
        self.write(|state| {
            for Arrival { object, sequence } in arrivals {
                let kept = state.inbox.arrivals.entry(*object).or_default();
                *kept = (*kept).max(*sequence);
            }
            Ok(())
        })
    }

    async fn arrivals(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Arrival>, CatalogError> {
        let state = self.read()?;
        let waiting = state.inbox.arrivals.iter();
        let waiting = waiting.map(|(&object, &sequence)| Arrival { object, sequence });
        let rest = waiting.filter(|arrival| after.is_none_or(|after| arrival.object > after));
        Ok(rest.take(limit).collect())
    }

    async fn settle_arrival(&self, arrival: &Arrival) -> Result<(), CatalogError> {
        self.write(|state| {
            let arrivals = &mut state.inbox.arrivals;
            arrivals.retain(|object, sequence| *object != arrival.object || *sequence > arrival.sequence);
            Ok(())
        })
    }
}
