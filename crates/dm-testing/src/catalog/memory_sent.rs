//! Where the shares of a [`MemoryCatalog`] stand.

use std::collections::BTreeSet;

use async_trait::async_trait;
use dm_core::{
    Address,
    acknowledgement::SignedAcknowledgement,
    clock::now_ms,
    hash::{DataHash, Locator},
    inbox::Term,
    ports::{CatalogError, SentCatalog},
    sent::{SentQuery, SentShare, SentState, ShareListing},
    share::NewShare,
};

use super::{MemoryCatalog, memory::State};

/// What is kept of a share; what else is known of it follows from the rest of the catalog.
pub(super) struct SentEntry {
    number: u64,
    kept: SentShare,
    terms: BTreeSet<Term>,
}

impl SentEntry {
    fn is(&self, locator: &Locator, recipient: Address) -> bool {
        self.is_of(locator) && self.kept.recipient == recipient
    }

    /// Whether it is a share of this data that is not over.
    fn is_of(&self, locator: &Locator) -> bool {
        self.kept.data_hash.locator() == *locator && !self.kept.state.is_over()
    }

    fn fits(&self, query: &SentQuery) -> bool {
        query
            .recipient
            .is_none_or(|recipient| self.kept.recipient == recipient)
            && query.terms.iter().all(|term| self.terms.contains(term))
            && (query.states.is_empty() || query.states.contains(&self.kept.state))
            && query.before.is_none_or(|before| self.number < before)
    }
}

impl State {
    /// Lists a share that is new.
    pub(super) fn begin_sent(&mut self, share: &NewShare) {
        let (record, listing) = (&share.record, share.listing.as_ref());
        let kept = SentShare {
            data_hash: record.data_hash,
            recipient: record.recipient,
            descriptor: listing.map(|listing| listing.descriptor.clone()),
            state: SentState::Shared,
            created_at: record.created_at,
            size: None,
            replicas: 0,
            grant_pending: share.grant_owed,
            granted_at: (!share.grant_owed).then_some(record.created_at),
            leaf_index: None,
            recorded_at: None,
            notified_at: None,
            fetched_at: None,
            acknowledged_at: None,
            delivery_index: None,
            ended_at: None,
            expires_at: None,
            has_payment: false,
        };
        self.sent.push(SentEntry {
            number: self.sent.last().map_or(1, |last| last.number + 1),
            kept,
            terms: listing
                .into_iter()
                .flat_map(|listing| listing.terms.clone())
                .collect(),
        });
    }

    pub(super) fn forget_sent(&mut self, data_hash: &DataHash, recipient: Address) {
        let locator = data_hash.locator();
        self.sent.retain(|entry| !entry.is(&locator, recipient));
    }

    pub(super) fn set_sent_grant_owed(&mut self, data_hash: &DataHash, recipient: Address, owed: bool) {
        let locator = data_hash.locator();
        for entry in self.sent.iter_mut().filter(|entry| entry.is(&locator, recipient)) {
            entry.kept.grant_pending = owed;
            entry.kept.granted_at = (!owed).then(|| entry.kept.granted_at.unwrap_or_else(now_ms));
        }
    }

    /// Ends the shares of this data, with one recipient or all; they are still there.
    pub(super) fn end_sent(&mut self, data_hash: &DataHash, recipient: Option<Address>, end: SentState) {
        let locator = data_hash.locator();
        let mut sent = std::mem::take(&mut self.sent);
        for entry in sent.iter_mut().filter(|entry| entry.is_of(&locator)) {
            if recipient.is_none_or(|recipient| entry.kept.recipient == recipient) {
                entry.kept.leaf_index = self.recorded_position(&entry.kept);
                entry.kept.grant_pending = false;
                entry.kept.state = end;
                entry.kept.ended_at = Some(now_ms());
            }
        }
        self.sent = sent;
    }

    /// A delivery of own data was recorded at this position of the log.
    pub(super) fn acknowledge_sent(&mut self, statement: &SignedAcknowledgement, position: u64) {
        let (locator, recipient) = (statement.object.locator, statement.recipient);
        for SentEntry { kept, .. } in self.sent.iter_mut().filter(|entry| entry.is(&locator, recipient)) {
            if kept.state.leads_to(SentState::Acknowledged) {
                kept.state = SentState::Acknowledged;
                kept.fetched_at = Some(statement.fetched_at);
                kept.acknowledged_at = Some(statement.made_at);
                kept.delivery_index = Some(position);
            }
        }
    }

    fn recorded_position(&self, kept: &SentShare) -> Option<u64> {
        let name = (kept.data_hash, kept.recipient);
        let mut records = self.shares.iter().map(|share| &share.record);
        let record = records.find(|record| (record.data_hash, record.recipient) == name)?;
        self.log.recorded_at(record)
    }

    /// Everything that is known of a share.
    fn known_of(&self, kept: &SentShare) -> SentShare {
        let leaf_index = kept.leaf_index.or_else(|| self.recorded_position(kept));
        let recorded = leaf_index.and_then(|index| self.log.entry(index));
        let known = SentShare {
            leaf_index,
            recorded_at: recorded.map(|entry| entry.event.timestamp),
            has_payment: self.orders.has_payment(&kept.data_hash, kept.recipient),
            ..kept.clone()
        };
        if kept.state.is_over() {
            return known;
        }
        let object = self
            .readables
            .iter()
            .find(|object| object.data_hash == kept.data_hash);
        SentShare {
            size: object.map(|object| object.size),
            replicas: object.map_or(0, |object| self.replica_count(&object.id)),
            expires_at: self.scheduled.get(&kept.data_hash).copied(),
            ..known
        }
    }

    fn newest_sent(&self, fits: impl Fn(&SentEntry) -> bool, limit: usize) -> Vec<(u64, SentShare)> {
        let newest = self.sent.iter().rev().filter(|entry| fits(entry)).take(limit);
        newest
            .map(|entry| (entry.number, self.known_of(&entry.kept)))
            .collect()
    }
}

#[async_trait]
impl SentCatalog for MemoryCatalog {
    async fn sent_shares(&self, query: &SentQuery) -> Result<Vec<(u64, SentShare)>, CatalogError> {
        Ok(self.read()?.newest_sent(|entry| entry.fits(query), query.limit))
    }

    async fn sent_shares_of(
        &self,
        data_hash: &DataHash,
        limit: usize,
    ) -> Result<Vec<SentShare>, CatalogError> {
        let state = self.read()?;
        let of_data = state.newest_sent(|entry| entry.kept.data_hash == *data_hash, limit);
        Ok(of_data.into_iter().map(|(_, share)| share).collect())
    }

    async fn sent_share(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<SentShare>, CatalogError> {
        let is_it =
            |entry: &SentEntry| (&entry.kept.data_hash, entry.kept.recipient) == (data_hash, recipient);
        let newest = self.read()?.newest_sent(is_it, 1).pop();
        Ok(newest.map(|(_, share)| share))
    }

    async fn relist_shares(&self, data_hash: &DataHash, listing: &ShareListing) -> Result<(), CatalogError> {
        self.write(|state| {
            let locator = data_hash.locator();
            for entry in state.sent.iter_mut().filter(|entry| entry.is_of(&locator)) {
                entry.kept.descriptor = Some(listing.descriptor.clone());
                entry.terms = listing.terms.iter().copied().collect();
            }
            Ok(())
        })
    }

    async fn note_notified(&self, told: &[(Locator, Address)], now: u64) -> Result<(), CatalogError> {
        self.write(|state| {
            for SentEntry { kept, .. } in state.sent.iter_mut().filter(|entry| {
                told.iter()
                    .any(|(locator, recipient)| entry.is(locator, *recipient))
            }) {
                kept.notified_at.get_or_insert(now);
                kept.state = kept.state.max(SentState::Notified);
            }
            Ok(())
        })
    }
}
