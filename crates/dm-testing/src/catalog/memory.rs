//! [`MemoryCatalog`] and what it keeps; its ports are in `memory_contacts`, `memory_deliveries`, `memory_erasures`, `memory_inbox`, `memory_journal`,
//! `memory_key_uses`, `memory_log`, `memory_orders`, `memory_readables`,
//! `memory_revocations`, `memory_sent`, `memory_shares`, `memory_subscriptions`, `memory_tables` and
//! `memory_uploads`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard},
};

use dm_core::{
    Address, B256,
    acknowledgement::Delivery,
    api_key::ApiKeyRecord,
    contact::{Contact, ContactName},
    envelope::ObjectId,
    hash::DataHash,
    idempotency::IdempotencyKey,
    mandate::KeptMandate,
    order::TokenRecord,
    peer::PeerRecord,
    ports::{BegunKeyChange, CatalogError},
    share::{ReadableObject, ShareRecord},
    subscription::{DeadLetter, Subscription, SubscriptionId},
    upload::{UploadId, UploadRecord},
    user::{AuthorizedUser, UserId},
};

use super::{
    memory_inbox::MemoryInbox, memory_journal::MemoryJournal, memory_log::MemoryLog,
    memory_orders::MemoryOrders, memory_revocations::MemoryRevocations, memory_sent::SentEntry,
};
use crate::faults::Faults;

/// Keeps everything in memory, without indexes: for tests. What it keeps of shares,
/// orders and events fails when its [`Faults`] say so.
#[derive(Default)]
pub struct MemoryCatalog {
    state: Mutex<State>,
    faults: Faults,
}

#[derive(Default)]
pub(super) struct State {
    /// In the order of their numbers.
    pub(super) shares: Vec<Share>,
    /// In the order of their numbers.
    pub(super) sent: Vec<SentEntry>,
    pub(super) last_share: u64,
    /// In the order of arrival; an entry that is replaced keeps its place.
    pub(super) readables: Vec<ReadableObject>,
    /// Versions of the node's key that must not wrap anything any more.
    pub(super) retired: BTreeSet<u32>,
    pub(super) replicas: HashMap<ObjectId, (u32, u64)>,
    pub(super) erasures: BTreeSet<DataHash>,
    /// With their digests, whatever became of their shares.
    pub(super) mandates: HashMap<B256, KeptMandate>,
    pub(super) users: BTreeMap<UserId, AuthorizedUser>,
    pub(super) contacts: BTreeMap<ContactName, Contact>,
    pub(super) scheduled: BTreeMap<DataHash, u64>,
    pub(super) key_changes: Vec<BegunKeyChange>,
    pub(super) revocations: MemoryRevocations,
    pub(super) api_keys: Vec<ApiKeyRecord>,
    pub(super) api_key_generation: u64,
    pub(super) peers: BTreeMap<String, PeerRecord>,
    /// In the order of arrival.
    pub(super) tokens: Vec<TokenRecord>,
    pub(super) orders: MemoryOrders,
    pub(super) log: MemoryLog,
    pub(super) inbox: MemoryInbox,
    /// In the order of arrival; their numbers begin at 1.
    pub(super) deliveries: Vec<Delivery>,
    pub(super) journal: MemoryJournal,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) dead_letters: BTreeMap<(SubscriptionId, u64), DeadLetter>,
    pub(super) uploads: BTreeMap<UploadId, UploadRecord>,
    /// With whom the data of each was shared.
    pub(super) upload_shares: Vec<(UploadId, DataHash, Address)>,
}

pub(super) struct Share {
    pub(super) number: u64,
    pub(super) record: ShareRecord,
    pub(super) grant_owed: bool,
    pub(super) receipt_spread: bool,
}

impl MemoryCatalog {
    /// An empty catalog.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty catalog whose writes fail when these say so.
    pub fn with_faults(faults: &Faults) -> Self {
        Self {
            faults: faults.clone(),
            ..Self::default()
        }
    }

    /// Says which writes fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What is kept, whatever the faults say.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What is kept, for one who reads.
    pub(super) fn read(&self) -> Result<MutexGuard<'_, State>, CatalogError> {
        self.faults.read(failed)?;
        Ok(self.state())
    }

    /// Makes one write.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        self.faults.write(failed, || change(&mut self.state()))
    }
}

fn failed(reason: &'static str) -> CatalogError {
    CatalogError::Failed(reason.into())
}

impl State {
    pub(super) fn share(&mut self, data_hash: &DataHash, recipient: Address) -> Option<&mut Share> {
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

    /// Keeps an entry, in the place of the present one of its data; whether there was none.
    pub(super) fn put_readable(&mut self, object: &ReadableObject) -> bool {
        let is_same = |kept: &&mut ReadableObject| kept.data_hash == object.data_hash;
        if let Some(kept) = self.readables.iter_mut().find(is_same) {
            *kept = object.clone();
            return false;
        }
        self.readables.push(object.clone());
        true
    }

    pub(super) fn share_by_key(&self, key: &IdempotencyKey) -> Option<&ShareRecord> {
        let mut records = self.shares.iter().map(|share| &share.record);
        records.find(|record| record.idempotency_key.as_ref() == Some(key))
    }

    pub(super) fn replica_count(&self, id: &ObjectId) -> u32 {
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

    pub(super) fn has_replica(&self, data_hash: &DataHash) -> bool {
        let object = self
            .readables
            .iter()
            .find(|object| object.data_hash == *data_hash);
        object.is_some_and(|object| self.replica_count(&object.id) > 0)
    }
}
