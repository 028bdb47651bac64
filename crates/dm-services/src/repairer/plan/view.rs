//! What the plan knows, for those who only ask.

use dm_core::{
    envelope::ObjectId,
    hash::Locator,
    ports::{KeyValueStore, MAX_OWNERS_LISTED, NotTaken, StoreError},
};

use super::{
    Holder, Peer, RepairPlan, peers,
    record::{Record, keys},
};

/// What is known of an object's copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    /// Whether this node is its owner.
    pub own: bool,
    /// Peers that shall hold it, this node not counted.
    pub wanted: u32,
    /// Peers that hold it and can be reached.
    pub live: u32,
    /// All peers that hold it, and whether each counts now.
    pub holders: Vec<(Peer, Holder, bool)>,
    /// Why nobody took the copy that was last offered.
    pub not_taken: Option<NotTaken>,
}

impl RepairPlan {
    /// Whether the object is stored here, as far as the plan was told.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn keeps(&mut self, object: &ObjectId) -> Result<bool, StoreError> {
        Ok(self.index.get(object).await?.is_some())
    }

    /// What is known of an object's copies; `None` where it is not stored here.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn copies(&mut self, object: &ObjectId, now: u64) -> Result<Option<Copies>, StoreError> {
        let Some(record) = self.index.get(object).await? else {
            return Ok(None);
        };
        let context = self.context(now);
        let holders = record.holders.iter().filter_map(|holder| {
            let peer = self.peers.name(holder.peer)?;
            Some((peer, *holder, holder.is_live(context)))
        });
        Ok(Some(Copies {
            own: record.own,
            wanted: record.wanted(&self.config),
            live: record.live(context),
            holders: holders.collect(),
            not_taken: record.not_taken,
        }))
    }

    /// Since when the holder is due that is challenged next.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn oldest_challenge(&mut self) -> Result<Option<u64>, StoreError> {
        self.index.next(keys::CHALLENGE).await
    }

    /// Since when objects wait for copies while none was begun; `None` where none waits.
    pub fn copies_waiting_since(&self) -> Option<u64> {
        self.waiting_since
    }

    /// How many objects nobody takes for this reason, at most `limit`.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn not_taken(&self, reason: NotTaken, limit: usize) -> Result<usize, StoreError> {
        self.index.not_taken(reason, limit).await
    }

    /// At most `limit` objects of others that are held by enough peers without
    /// this node, all of them proven of late. Of all holders only the one that
    /// is farthest from an object may drop it, so that no two do. Looks through
    /// `PAGES` pages of objects, and goes on there at the next call.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn surplus(&mut self, limit: usize, now: u64) -> Result<Vec<ObjectId>, StoreError> {
        const PAGE: usize = 256;
        const PAGES: usize = 64;
        self.flush().await?;
        let interval = self.challenge_interval();
        let mut surplus = Vec::new();
        for _ in 0..PAGES {
            let page = self.index.page_of_all(self.surplus_after.as_ref(), PAGE).await?;
            self.surplus_after = page.last().map(|(object, _)| *object);
            let context = self.context(now);
            let free = page
                .iter()
                .filter(|(object, _)| !self.under_way.is_busy(object))
                .filter(|(object, record)| record.is_surplus(object, context, interval));
            surplus.extend(free.map(|(object, _)| *object));
            if surplus.len() >= limit || page.is_empty() {
                break;
            }
        }
        surplus.truncate(limit);
        Ok(surplus)
    }

    /// At most `limit` objects of others; at each call those that follow, and then
    /// the first ones again.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn next_foreign(&mut self, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        self.flush().await?;
        let page = self.index.page_of_all(self.foreign_after.as_ref(), limit).await?;
        self.foreign_after = page.last().map(|(object, _)| *object);
        let foreign = page.into_iter().filter(|(_, record)| !record.own);
        Ok(foreign.map(|(object, _)| object).collect())
    }

    /// Whether every object that was stored before changes were told is known.
    pub fn is_complete(&self) -> bool {
        self.index.is_complete()
    }

    /// All objects that were stored before changes were told have been kept.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn set_complete(&mut self) -> Result<(), StoreError> {
        self.index.set_complete(true);
        self.flush().await
    }

    /// Number of objects, and of those that have too few copies.
    pub fn totals(&self) -> (u64, u64) {
        let totals = self.index.totals();
        (totals.objects, totals.short)
    }
}

/// Peer ids in text form of the holders of all objects under a locator, as they
/// were last written.
///
/// # Errors
/// Faults of the store.
pub async fn stored_holders(store: &dyn KeyValueStore, locator: &Locator) -> Result<Vec<String>, StoreError> {
    let prefix = [&[keys::RECORD], locator.as_bytes().as_slice()].concat();
    let mut names = Vec::new();
    for (_, value) in store.scan(&prefix, None, MAX_OWNERS_LISTED).await? {
        let record = Record::decode(&value);
        for holder in record.map(|record| record.holders).unwrap_or_default() {
            let entry = store.get(&keys::peer(holder.peer)).await?;
            names.extend(entry.and_then(|entry| peers::written_name(&entry)));
        }
    }
    Ok(names)
}
