//! [`MemoryCatalog`]: shares and readable objects; the rest is in `memory_key_uses`,
//! `memory_log`, `memory_orders`, `memory_revocations` and `memory_tables`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;

use super::{memory_log::MemoryLog, memory_orders::MemoryOrders, memory_revocations::MemoryRevocations};
use crate::{
    Address, B256,
    api_key::ApiKeyRecord,
    envelope::ObjectId,
    hash::DataHash,
    mandate::KeptMandate,
    order::TokenRecord,
    peer::PeerRecord,
    ports::{BegunKeyChange, CatalogError, Erasures, ReadableObjects, Rewrapped, ShareCatalog, ShareInsert},
    share::{IdempotencyKey, ReadableObject, ShareRecord},
    user::{AuthorizedUser, UserId},
};

/// Keeps everything in memory, without indexes: for tests.
#[derive(Default)]
pub struct MemoryCatalog {
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    shares: Vec<Share>,
    /// In the order of arrival; an entry that is replaced keeps its place.
    pub(super) readables: Vec<ReadableObject>,
    /// Versions of the node's key that must not wrap anything any more.
    pub(super) retired: BTreeSet<u32>,
    replicas: HashMap<ObjectId, (u32, u64)>,
    erasures: Vec<DataHash>,
    /// With their digests, whatever became of their shares.
    pub(super) mandates: HashMap<B256, KeptMandate>,
    pub(super) users: BTreeMap<UserId, AuthorizedUser>,
    scheduled: BTreeMap<DataHash, u64>,
    pub(super) key_changes: Vec<BegunKeyChange>,
    pub(super) revocations: MemoryRevocations,
    pub(super) api_keys: Vec<ApiKeyRecord>,
    pub(super) api_key_generation: u64,
    pub(super) peers: BTreeMap<String, PeerRecord>,
    /// In the order of arrival.
    pub(super) tokens: Vec<TokenRecord>,
    pub(super) orders: MemoryOrders,
    pub(super) log: MemoryLog,
}

struct Share {
    record: ShareRecord,
    grant_owed: bool,
    receipt_spread: bool,
}

impl MemoryCatalog {
    /// An empty catalog.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn share(&mut self, data_hash: &DataHash, recipient: Address) -> Option<&mut Share> {
        let name = (*data_hash, recipient);
        self.shares
            .iter_mut()
            .find(|share| (share.record.data_hash, share.record.recipient) == name)
    }

    pub(super) fn has_share(&self, data_hash: &DataHash, recipient: Address) -> bool {
        let name = (*data_hash, recipient);
        let mut records = self.shares.iter().map(|share| &share.record);
        records.any(|record| (record.data_hash, record.recipient) == name)
    }

    /// Digests of the statements on which shares were made that are not recorded.
    pub(super) fn unrecorded_mandates(&self) -> Vec<B256> {
        let records = self.shares.iter().map(|share| &share.record);
        let unrecorded = records.filter(|record| self.log.recorded_at(record).is_none());
        unrecorded
            .filter_map(|record| Some(record.mandate.as_ref()?.mandate.digest()))
            .collect()
    }

    pub(super) fn forget_share(&mut self, data_hash: &DataHash, recipient: Address) {
        let name = (*data_hash, recipient);
        self.shares
            .retain(|share| (share.record.data_hash, share.record.recipient) != name);
    }

    /// Keeps an entry, in the place of the present one of its data.
    pub(super) fn put_readable(&mut self, object: &ReadableObject) {
        let is_same = |kept: &&mut ReadableObject| kept.data_hash == object.data_hash;
        match self.readables.iter_mut().find(is_same) {
            Some(kept) => *kept = object.clone(),
            None => self.readables.push(object.clone()),
        }
    }

    fn share_by_key(&self, key: &IdempotencyKey) -> Option<&ShareRecord> {
        let mut records = self.shares.iter().map(|share| &share.record);
        records.find(|record| record.idempotency_key.as_ref() == Some(key))
    }

    fn replica_count(&self, id: &ObjectId) -> u32 {
        self.replicas.get(id).map_or(0, |(replicas, _)| *replicas)
    }

    /// The anchor of the checkpoint of this size has moved or left the chain.
    pub(super) fn spread_receipts_again(&mut self, size: u64) {
        let covered = self.log.covered_first(size);
        for share in &mut self.shares {
            let position = self.log.recorded_at(&share.record);
            if position.is_some_and(|position| covered.contains(&position)) {
                share.receipt_spread = false;
            }
        }
    }

    fn has_replica(&self, data_hash: &DataHash) -> bool {
        let object = self
            .readables
            .iter()
            .find(|object| object.data_hash == *data_hash);
        object.is_some_and(|object| self.replica_count(&object.id) > 0)
    }
}

#[async_trait]
impl ShareCatalog for MemoryCatalog {
    async fn insert_share(&self, share: &ShareRecord) -> Result<ShareInsert, CatalogError> {
        let mut state = self.state();
        let by_key = share
            .idempotency_key
            .as_ref()
            .and_then(|key| state.share_by_key(key));
        if let Some(other) = by_key
            && (other.data_hash, other.recipient) != (share.data_hash, share.recipient)
        {
            return Ok(ShareInsert::KeyReused(other.clone()));
        }
        if let Some(existing) = state.share(&share.data_hash, share.recipient) {
            return Ok(ShareInsert::Exists(existing.record.clone()));
        }
        if let Some(kept) = &share.mandate {
            state.mandates.insert(kept.mandate.digest(), (**kept).clone());
        }
        state.shares.push(Share {
            record: share.clone(),
            grant_owed: false,
            receipt_spread: false,
        });
        Ok(ShareInsert::Inserted)
    }

    async fn share(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<ShareRecord>, CatalogError> {
        Ok(self
            .state()
            .share(data_hash, recipient)
            .map(|share| share.record.clone()))
    }

    async fn share_by_key(&self, key: &IdempotencyKey) -> Result<Option<ShareRecord>, CatalogError> {
        Ok(self.state().share_by_key(key).cloned())
    }

    async fn unrecorded_shares(&self, limit: usize) -> Result<Vec<ShareRecord>, CatalogError> {
        let state = self.state();
        let records = state.shares.iter().map(|share| &share.record);
        let unrecorded = records.filter(|record| state.log.recorded_at(record).is_none());
        Ok(unrecorded.take(limit).cloned().collect())
    }

    async fn set_grant_owed(
        &self,
        data_hash: &DataHash,
        recipient: Address,
        owed: bool,
    ) -> Result<(), CatalogError> {
        if let Some(share) = self.state().share(data_hash, recipient) {
            share.grant_owed = owed;
        }
        Ok(())
    }

    async fn owed_grants(&self, limit: usize) -> Result<Vec<ShareRecord>, CatalogError> {
        let state = self.state();
        let owed = state.shares.iter().filter(|share| share.grant_owed);
        Ok(owed.take(limit).map(|share| share.record.clone()).collect())
    }

    async fn set_replicas(&self, id: &ObjectId, sequence: u64, replicas: u32) -> Result<(), CatalogError> {
        self.state().replicas.insert(*id, (replicas, sequence));
        Ok(())
    }

    async fn replicas(&self, id: &ObjectId) -> Result<Option<(u32, u64)>, CatalogError> {
        Ok(self.state().replicas.get(id).copied())
    }

    async fn under_replicated(
        &self,
        owner: Address,
        factor: u32,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError> {
        let state = self.state();
        let first = match after {
            None => Some(0),
            Some(after) => state
                .readables
                .iter()
                .position(|object| object.data_hash == after)
                .map(|at| at + 1),
        };
        let candidates = state.readables.iter().skip(first.unwrap_or(usize::MAX));
        let lacking =
            candidates.filter(|object| object.id.owner == owner && state.replica_count(&object.id) < factor);
        Ok(lacking.take(limit).cloned().collect())
    }

    async fn receipts_to_spread(
        &self,
        anchored_size: u64,
        limit: usize,
    ) -> Result<Vec<ShareRecord>, CatalogError> {
        let state = self.state();
        let mut due: Vec<(u64, &ShareRecord)> = state
            .shares
            .iter()
            .filter(|share| !share.receipt_spread && state.has_replica(&share.record.data_hash))
            .filter_map(|share| Some((state.log.recorded_at(&share.record)?, &share.record)))
            .filter(|(position, _)| *position < anchored_size)
            .collect();
        due.sort_by_key(|(position, _)| *position);
        Ok(due
            .into_iter()
            .take(limit)
            .map(|(_, record)| record.clone())
            .collect())
    }

    async fn set_receipt_spread(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError> {
        if let Some(share) = self.state().share(data_hash, recipient) {
            share.receipt_spread = true;
        }
        Ok(())
    }
}

#[async_trait]
impl ReadableObjects for MemoryCatalog {
    async fn put_readable(&self, object: &ReadableObject) -> Result<(), CatalogError> {
        let mut state = self.state();
        state.ensure_not_retired(object.key.version)?;
        state.put_readable(object);
        Ok(())
    }

    async fn readable(&self, data_hash: &DataHash) -> Result<Option<ReadableObject>, CatalogError> {
        let state = self.state();
        Ok(state
            .readables
            .iter()
            .find(|object| object.data_hash == *data_hash)
            .cloned())
    }

    async fn wrapped_before(
        &self,
        version: u32,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError> {
        let state = self.state();
        let begin = match after {
            Some(after) => state
                .readables
                .iter()
                .position(|object| object.data_hash == after),
            None => None,
        };
        if after.is_some() && begin.is_none() {
            return Ok(Vec::new());
        }
        let rest = state.readables.iter().skip(begin.map_or(0, |place| place + 1));
        let outdated = rest.filter(|object| object.key.version < version);
        Ok(outdated.take(limit).cloned().collect())
    }

    async fn rewrap(&self, keys: Vec<Rewrapped>) -> Result<(), CatalogError> {
        let mut state = self.state();
        for key in &keys {
            state.ensure_not_retired(key.new.version)?;
        }
        for key in keys {
            let is_meant =
                |object: &&mut ReadableObject| object.data_hash == key.data_hash && object.key == key.old;
            if let Some(object) = state.readables.iter_mut().find(is_meant) {
                object.key = key.new;
            }
        }
        Ok(())
    }

    async fn remove_readable(&self, data_hash: &DataHash) -> Result<bool, CatalogError> {
        let mut state = self.state();
        let before = state.readables.len();
        state.readables.retain(|object| object.data_hash != *data_hash);
        Ok(state.readables.len() < before)
    }
}

#[async_trait]
impl Erasures for MemoryCatalog {
    async fn begin_erasure(&self, data_hash: &DataHash) -> Result<(), CatalogError> {
        let mut state = self.state();
        state.readables.retain(|object| object.data_hash != *data_hash);
        state.shares.retain(|share| share.record.data_hash != *data_hash);
        state.revocations.forget(data_hash);
        state.scheduled.remove(data_hash);
        if !state.erasures.contains(data_hash) {
            state.erasures.push(*data_hash);
        }
        Ok(())
    }

    async fn schedule_erasure(&self, data_hash: &DataHash, at: Option<u64>) -> Result<(), CatalogError> {
        let mut state = self.state();
        match at {
            Some(at) => state.scheduled.insert(*data_hash, at),
            None => state.scheduled.remove(data_hash),
        };
        Ok(())
    }

    async fn due_erasures(&self, now: u64, limit: usize) -> Result<Vec<DataHash>, CatalogError> {
        let state = self.state();
        let mut due: Vec<(u64, DataHash)> = state.scheduled.iter().map(|(hash, at)| (*at, *hash)).collect();
        due.retain(|(at, _)| *at <= now);
        due.sort_unstable();
        Ok(due.into_iter().take(limit).map(|(_, hash)| hash).collect())
    }

    async fn unfinished_erasures(&self, limit: usize) -> Result<Vec<DataHash>, CatalogError> {
        Ok(self.state().erasures.iter().copied().take(limit).collect())
    }

    async fn end_erasure(&self, data_hash: &DataHash) -> Result<(), CatalogError> {
        self.state().erasures.retain(|erased| erased != data_hash);
        Ok(())
    }
}
