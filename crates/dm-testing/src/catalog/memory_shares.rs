//! The shares of a [`MemoryCatalog`].

use std::{collections::BTreeSet, ops::Range};

use async_trait::async_trait;
use dm_core::{
    Address,
    envelope::ObjectId,
    hash::{DataHash, Locator},
    idempotency::IdempotencyKey,
    news::News,
    ports::{CatalogError, NumberedShare, ShareCatalog, ShareInsert},
    share::{NewShare, ReadableObject, ShareRecord},
};

use super::{
    MemoryCatalog,
    memory::{Share, State},
};

impl State {
    fn commit_share(&mut self, share: &NewShare) -> Result<ShareInsert, CatalogError> {
        let record = &share.record;
        if let Some(object) = &share.object {
            self.ensure_not_retired(object.key.version)?;
        }
        let key = record.idempotency_key.as_ref();
        if let Some(other) = key.and_then(|key| self.share_by_key(key))
            && (other.data_hash, other.recipient) != (record.data_hash, record.recipient)
        {
            return Ok(ShareInsert::KeyReused(other.clone()));
        }
        if let Some(upload) = share.upload {
            self.note_upload_shares(upload, &record.data_hash, &[record.recipient]);
        }
        if let Some(object) = &share.object {
            self.put_readable(object);
            if let Some(at) = record.expires_at {
                self.scheduled.insert(record.data_hash, at);
            }
        }
        if let Some(existing) = self.share(&record.data_hash, record.recipient) {
            return Ok(ShareInsert::Exists(existing.record.clone()));
        }
        if let Some(kept) = &record.mandate {
            self.mandates.insert(kept.mandate.digest(), (**kept).clone());
        }
        self.orders.deliver(&record.data_hash, record.recipient);
        self.last_share += 1;
        self.shares.push(Share {
            number: self.last_share,
            record: record.clone(),
            grant_owed: share.grant_owed,
            receipt_spread: false,
        });
        self.begin_sent(share);
        self.journal.append_traced(&News::of_share(record), share.trace);
        Ok(ShareInsert::Inserted)
    }

    fn take_back_share(&mut self, data_hash: &DataHash, recipient: Address) -> bool {
        let Some(record) = self.share(data_hash, recipient).map(|share| share.record.clone()) else {
            return false;
        };
        if self.log.recorded_at(&record).is_some() {
            return false;
        }
        self.forget_sent(data_hash, recipient);
        self.upload_shares
            .retain(|(_, data, with)| (data, with) != (data_hash, &recipient));
        self.forget_share(data_hash, recipient);
        if let Some(kept) = &record.mandate {
            self.mandates.remove(&kept.mandate.digest());
        }
        if !self.log.was_shared(data_hash, recipient) {
            self.orders.take_back_delivery(data_hash, recipient);
        }
        true
    }

    fn numbered(&self, after: u64) -> impl Iterator<Item = &Share> {
        self.shares.iter().filter(move |share| share.number > after)
    }

    /// Entries after that of `after`, or all.
    pub(super) fn readables_after(&self, after: Option<DataHash>) -> impl Iterator<Item = &ReadableObject> {
        let first = match after {
            None => 0,
            Some(after) => {
                let mut entries = self.readables.iter();
                entries
                    .position(|object| object.data_hash == after)
                    .map_or(usize::MAX, |at| at + 1)
            }
        };
        self.readables.iter().skip(first)
    }
}

fn with_number(share: &Share) -> NumberedShare {
    (share.number, share.record.clone())
}

#[async_trait]
impl ShareCatalog for MemoryCatalog {
    async fn commit_share(&self, share: &NewShare) -> Result<ShareInsert, CatalogError> {
        self.write(|state| state.commit_share(share))
    }

    async fn forget_share(&self, data_hash: &DataHash, recipient: Address) -> Result<bool, CatalogError> {
        self.write(|state| Ok(state.take_back_share(data_hash, recipient)))
    }

    async fn share(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<ShareRecord>, CatalogError> {
        let mut state = self.read()?;
        Ok(state
            .share(data_hash, recipient)
            .map(|share| share.record.clone()))
    }

    async fn share_by_key(&self, key: &IdempotencyKey) -> Result<Option<ShareRecord>, CatalogError> {
        Ok(self.read()?.share_by_key(key).cloned())
    }

    async fn is_shared(&self, data_hash: &DataHash) -> Result<bool, CatalogError> {
        let state = self.read()?;
        let mut records = state.shares.iter().map(|share| &share.record);
        Ok(records.any(|record| record.data_hash == *data_hash))
    }

    async fn unrecorded_shares(&self, after: u64, limit: usize) -> Result<Vec<NumberedShare>, CatalogError> {
        let state = self.read()?;
        let unrecorded = state
            .numbered(after)
            .filter(|share| state.log.recorded_at(&share.record).is_none());
        Ok(unrecorded.take(limit).map(with_number).collect())
    }

    async fn unrecorded_shares_of(&self, data_hash: &DataHash) -> Result<Vec<ShareRecord>, CatalogError> {
        let state = self.read()?;
        let records = state.shares.iter().map(|share| &share.record);
        let unrecorded = records
            .filter(|record| record.data_hash == *data_hash && state.log.recorded_at(record).is_none());
        Ok(unrecorded.cloned().collect())
    }

    async fn is_known(&self, id: &ObjectId, chunk_list: &[u8; 32]) -> Result<bool, CatalogError> {
        let state = self.read()?;
        let mut keys = state.readables.iter().chain(&state.revocations.prepared);
        Ok(keys.any(|object| object.id == *id && object.chunk_list == *chunk_list))
    }

    async fn objects_of(
        &self,
        owner: Address,
        after: Option<Locator>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError> {
        let state = self.read()?;
        let is_wanted = |object: &&ReadableObject| {
            object.id.owner == owner && after.is_none_or(|after| object.id.locator > after)
        };
        let mut own: Vec<ReadableObject> = state.readables.iter().filter(is_wanted).cloned().collect();
        own.sort_by_key(|object| object.id.locator);
        own.truncate(limit);
        Ok(own)
    }

    async fn set_grant_owed(
        &self,
        data_hash: &DataHash,
        recipient: Address,
        owed: bool,
    ) -> Result<(), CatalogError> {
        self.write(|state| {
            if let Some(share) = state.share(data_hash, recipient) {
                share.grant_owed = owed;
            }
            state.set_sent_grant_owed(data_hash, recipient, owed);
            Ok(())
        })
    }

    async fn owed_recipients(
        &self,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<Address>, CatalogError> {
        let state = self.read()?;
        let owed = state.shares.iter().filter(|share| share.grant_owed);
        let recipients: BTreeSet<Address> = owed.map(|share| share.record.recipient).collect();
        let rest = recipients
            .into_iter()
            .filter(|recipient| after.is_none_or(|after| *recipient > after));
        Ok(rest.take(limit).collect())
    }

    async fn owed_grants(
        &self,
        recipient: Address,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedShare>, CatalogError> {
        let state = self.read()?;
        let owed = state
            .numbered(after)
            .filter(|share| share.grant_owed && share.record.recipient == recipient);
        Ok(owed.take(limit).map(with_number).collect())
    }

    async fn set_replicas(&self, id: &ObjectId, sequence: u64, replicas: u32) -> Result<(), CatalogError> {
        self.write(|state| {
            state.replicas.insert(*id, (replicas, sequence));
            Ok(())
        })
    }

    async fn replicas(&self, id: &ObjectId) -> Result<Option<(u32, u64)>, CatalogError> {
        Ok(self.read()?.replicas.get(id).copied())
    }

    async fn under_replicated(
        &self,
        owner: Address,
        factor: u32,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError> {
        let state = self.read()?;
        let lacking = state
            .readables_after(after)
            .filter(|object| object.id.owner == owner && state.replica_count(&object.id) < factor);
        Ok(lacking.take(limit).cloned().collect())
    }

    async fn receipts_to_spread(
        &self,
        positions: Range<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, ShareRecord)>, CatalogError> {
        let state = self.read()?;
        let mut due: Vec<(u64, ShareRecord)> = state
            .shares
            .iter()
            .filter(|share| !share.receipt_spread && state.has_replica(&share.record.data_hash))
            .filter_map(|share| Some((state.log.recorded_at(&share.record)?, share.record.clone())))
            .filter(|(position, _)| positions.contains(position))
            .collect();
        due.sort_by_key(|(position, _)| *position);
        due.truncate(limit);
        Ok(due)
    }

    async fn set_receipt_spread(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError> {
        self.write(|state| {
            if let Some(share) = state.share(data_hash, recipient) {
                share.receipt_spread = true;
            }
            Ok(())
        })
    }

    async fn is_receipt_spread(&self, locator: &Locator, recipient: Address) -> Result<bool, CatalogError> {
        let state = self.read()?;
        let mut of_recipient = state
            .shares
            .iter()
            .filter(|share| share.record.recipient == recipient);
        Ok(of_recipient.any(|share| share.receipt_spread && share.record.data_hash.locator() == *locator))
    }
}
