//! The objects and their holders in the store, found by what is due.
//!
//! Changes are kept in memory until [`Index::flush`] makes them one commit.
//! What is looked up by its id is as it was changed last; what is looked up by
//! what is due is as of the last flush.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use dm_core::{
    envelope::ObjectId,
    ports::{KeyValueStore, NotTaken, StoreError, WriteBatch},
};
use serde::{Deserialize, Serialize};

use super::{
    PeerKey,
    record::{Record, Step, keys},
};
use crate::queue_front::QueueFront;

/// Entries that are read at once.
const PAGE: usize = 256;

/// Numbers of what the index keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Objects.
    pub(super) objects: u64,
    /// Holders of all objects.
    pub(super) holders: u64,
    /// Objects that have too few copies.
    pub(super) short: u64,
}

pub(super) struct Index {
    store: Arc<dyn KeyValueStore>,
    /// What was read since the last flush, and what has become of it.
    loaded: HashMap<ObjectId, Loaded>,
    /// Further entries that go with the next commit.
    others: WriteBatch,
    totals: Totals,
    /// One for each kind of key that is taken from the front.
    fronts: HashMap<u8, QueueFront>,
    is_complete: bool,
}

struct Loaded {
    before: Option<Record>,
    now: Option<Record>,
}

impl Index {
    pub(super) async fn open(store: Arc<dyn KeyValueStore>) -> Result<Self, StoreError> {
        let totals = store.get(keys::TOTALS).await?;
        let totals = totals.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        Ok(Self {
            is_complete: store.get(keys::COMPLETE).await?.is_some(),
            store,
            loaded: HashMap::new(),
            others: WriteBatch::new(),
            totals: totals.unwrap_or_default(),
            fronts: HashMap::new(),
        })
    }

    /// Whether every object that is stored is here or among the changes that
    /// the store tells.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(super) fn set_complete(&mut self, complete: bool) {
        self.is_complete = complete;
        if complete {
            self.others.put(keys::COMPLETE, Bytes::new());
        } else {
            self.others.delete(keys::COMPLETE);
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether so much has changed that it should be written.
    pub(super) fn is_crowded(&self) -> bool {
        const MANY: usize = 1024;
        self.loaded.len() >= MANY
    }

    /// What is known of an object.
    pub(super) async fn get(&mut self, id: &ObjectId) -> Result<Option<Record>, StoreError> {
        if let Some(loaded) = self.loaded.get(id) {
            return Ok(loaded.now.clone());
        }
        let Some(bytes) = self.store.get(&keys::record(id)).await? else {
            return Ok(None);
        };
        let record = Record::decode(&bytes);
        if record.is_none() {
            tracing::warn!(locator = %id.locator, "an entry of the repair index cannot be read: it is made anew");
            self.others.delete(keys::record(id));
            self.set_complete(false);
        }
        let (before, now) = (record.clone(), record.clone());
        self.loaded.insert(*id, Loaded { before, now });
        Ok(record)
    }

    /// What is known of an object that was got since the last flush.
    pub(super) fn current(&self, id: &ObjectId) -> Option<&Record> {
        self.loaded.get(id)?.now.as_ref()
    }

    /// Replaces what was got last; `None` strikes the object out.
    pub(super) fn put(&mut self, id: &ObjectId, record: Option<Record>) {
        let loaded = self.loaded.entry(*id).or_insert(Loaded {
            before: None,
            now: None,
        });
        loaded.now = record;
    }

    /// Puts a further entry into the next commit, or deletes it.
    pub(super) fn put_other(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        match value {
            Some(value) => self.others.put(key, value),
            None => self.others.delete(key),
        };
    }

    /// Makes everything that has changed durable.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        let mut batch = self.others.clone();
        let mut totals = self.totals;
        for (id, loaded) in &self.loaded {
            if loaded.before != loaded.now {
                totals.count(loaded.before.as_ref(), loaded.now.as_ref());
                loaded.write(id, &mut batch);
            }
        }
        if totals != self.totals {
            batch.put(keys::TOTALS, postcard::to_stdvec(&totals).unwrap_or_default());
        }
        if !batch.changes.is_empty() {
            let committed = self.store.commit(batch.clone()).await;
            for front in self.fronts.values_mut() {
                match &committed {
                    Ok(()) => front.changed(&batch),
                    Err(_) => front.forget(),
                }
            }
            committed?;
        }
        self.totals = totals;
        self.loaded.clear();
        self.others = WriteBatch::new();
        Ok(())
    }

    /// The objects with the least time up to `until`, and when it is or was.
    pub(super) async fn due(
        &mut self,
        tag: u8,
        until: u64,
        limit: usize,
    ) -> Result<Vec<(u64, ObjectId)>, StoreError> {
        let keys = self.first(tag, limit).await?;
        let due = keys
            .iter()
            .filter_map(|key| Some((keys::time(key)?, keys::id(key)?)));
        Ok(due.take_while(|(at, _)| *at <= until).collect())
    }

    /// The least time of this kind.
    pub(super) async fn next(&mut self, tag: u8) -> Result<Option<u64>, StoreError> {
        Ok(self.first(tag, 1).await?.first().and_then(|key| keys::time(key)))
    }

    /// The objects that wait for this step, the most urgent first.
    pub(super) async fn waiting(&mut self, step: Step, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        let keys = self.first(keys::step(step), limit).await?;
        Ok(keys.iter().filter_map(|key| keys::id(key)).collect())
    }

    /// Whether an object waits for this step.
    pub(super) async fn has_waiting(&mut self, step: Step) -> Result<bool, StoreError> {
        Ok(!self.waiting(step, 1).await?.is_empty())
    }

    /// At most `limit` objects that this peer holds, behind `after`.
    pub(super) async fn held_by(
        &self,
        peer: PeerKey,
        after: Option<&ObjectId>,
        limit: usize,
    ) -> Result<Vec<ObjectId>, StoreError> {
        let after = after.map(|id| keys::held(peer, id));
        self.page(&keys::held_head(peer), after, limit).await
    }

    /// At most `limit` objects with too few copies, behind `after`.
    pub(super) async fn short(
        &self,
        after: Option<&ObjectId>,
        limit: usize,
    ) -> Result<Vec<ObjectId>, StoreError> {
        self.page(&[keys::SHORT], after.map(keys::short), limit).await
    }

    /// At most `limit` objects, behind `after`.
    pub(super) async fn page_of_all(
        &self,
        after: Option<&ObjectId>,
        limit: usize,
    ) -> Result<Vec<(ObjectId, Record)>, StoreError> {
        let after = after.map(keys::record);
        let entries = self.store.scan(&[keys::RECORD], after.as_deref(), limit).await?;
        let records = entries
            .iter()
            .filter_map(|(key, value)| Some((keys::id(key)?, Record::decode(value)?)));
        Ok(records.collect())
    }

    /// How many objects nobody takes for this reason, at most `limit`.
    pub(super) async fn not_taken(&self, reason: NotTaken, limit: usize) -> Result<usize, StoreError> {
        let objects = self
            .store
            .scan(&keys::not_taken_head(reason), None, limit)
            .await?;
        Ok(objects.len())
    }

    /// What is written of all peers.
    pub(super) async fn peers(&self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let mut peers: Vec<(Bytes, Bytes)> = Vec::new();
        loop {
            let after = peers.last().map(|(key, _)| key.clone());
            let page = self.store.scan(&[keys::PEER], after.as_deref(), PAGE).await?;
            if page.is_empty() {
                return Ok(peers);
            }
            peers.extend(page);
        }
    }

    async fn page(
        &self,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<ObjectId>, StoreError> {
        let entries = self.store.scan(prefix, after.as_deref(), limit).await?;
        Ok(entries.iter().filter_map(|(key, _)| keys::id(key)).collect())
    }

    /// The least keys of this kind.
    async fn first(&mut self, tag: u8, limit: usize) -> Result<Vec<Bytes>, StoreError> {
        let front = self.fronts.entry(tag).or_insert_with(|| QueueFront::new(tag));
        let entries = front.first(&*self.store, limit).await?;
        Ok(entries.into_iter().map(|(key, _)| key).collect())
    }
}

impl Loaded {
    /// Writes the record, and under which keys it is found now and not any more.
    fn write(&self, id: &ObjectId, batch: &mut WriteBatch) {
        let keys_of =
            |record: &Option<Record>| record.as_ref().map(|record| record.keys(id)).unwrap_or_default();
        let (before, now) = (keys_of(&self.before), keys_of(&self.now));
        for key in before.iter().filter(|key| !now.contains(key)) {
            batch.delete(key.clone());
        }
        for key in now.into_iter().filter(|key| !before.contains(key)) {
            batch.put(key, Bytes::new());
        }
        match &self.now {
            Some(record) => batch.put(keys::record(id), record.encode()),
            None => batch.delete(keys::record(id)),
        };
    }
}

impl Totals {
    fn count(&mut self, before: Option<&Record>, now: Option<&Record>) {
        let part = |record: Option<&Record>| {
            record.map_or((0, 0, 0), |record| {
                let short = u64::from(record.short_since.is_some());
                (1, record.holders.len() as u64, short)
            })
        };
        let (gone, come) = (part(before), part(now));
        let replace = |total: u64, gone: u64, come: u64| (total + come).saturating_sub(gone);
        self.objects = replace(self.objects, gone.0, come.0);
        self.holders = replace(self.holders, gone.1, come.1);
        self.short = replace(self.short, gone.2, come.2);
    }
}
