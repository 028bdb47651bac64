//! From an order to transactions that are signed and noted: one batch at a
//! time, while further orders gather for the next.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::U256;
use dm_core::{operation::OperationId, ports::ChainError};
use tokio::time::Instant;

use super::{
    Action, Answer, Key, Queue, Sending, Sight, SigningJob, Version,
    item::{Item, Phase},
};
use crate::transactions::fees::{Fees, Price};

/// Most transactions of a batch.
const MAX_BATCH: usize = 512;

/// Where the batch is.
pub(super) enum Stage {
    /// There is none.
    Idle,
    /// It is being signed.
    Signing(Vec<Key>),
    /// It waits for the journal.
    Ready(Vec<(Key, Version)>),
    /// The journal is noting it.
    Writing(Vec<(Key, Version)>),
}

impl Stage {
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// The next change of the journal contains the batch that waits for it.
    pub(super) fn begin_writing(&mut self) {
        *self = match std::mem::replace(self, Self::Idle) {
            Self::Ready(batch) => Self::Writing(batch),
            other => other,
        };
    }
}

impl Queue {
    /// Makes a batch of what needs a nonce, and of what needs a higher price.
    pub(super) fn assign(&mut self, sight: &Sight, now: Instant) {
        let Some(price) = sight.price.filter(|_| self.stage.is_idle()) else {
            return;
        };
        let mut batch = self.replacements(price, now);
        if let Some(balance) = sight.balance {
            self.first_versions(sight, price, balance, &mut batch);
        }
        if !batch.is_empty() {
            let (keys, jobs) = batch.into_iter().unzip();
            self.stage = Stage::Signing(keys);
            self.actions.push(Action::Sign(jobs));
        }
    }

    fn first_versions(
        &mut self,
        sight: &Sight,
        price: Price,
        balance: U256,
        batch: &mut Vec<(Key, SigningJob)>,
    ) {
        let fees = match price.fees(self.settings.max_fee_per_gas) {
            Ok(fees) => fees,
            Err(refusal) => return self.refuse_queued(&refusal),
        };
        let mut reserved = self.reserved(sight.count);
        let mut next = sight.pending.max(sight.count).max(self.watch.floor());
        let mut left = Vec::new();
        while let Some(key) = self.queued.pop_front() {
            let Some(item) = self.items.get_mut(&key) else {
                continue;
            };
            let needed = reserved.saturating_add(item.draft.cost(fees.highest()));
            let is_begun = !item.versions.is_empty();
            if needed > balance && is_begun {
                left.push(key);
                continue;
            }
            if needed > balance {
                let account = self.settings.account;
                let refusal = ChainError::InsufficientFunds {
                    account,
                    balance,
                    needed,
                };
                self.give_up(key, &refusal);
                continue;
            }
            reserved = needed;
            if item.id.is_none()
                && let Some((orphan, fees)) = self.replaceable(sight.count, fees)
            {
                batch.extend(self.take_over(key, orphan, fees).map(|job| (key, job)));
                continue;
            }
            let Some(item) = self.items.get_mut(&key) else {
                continue;
            };
            let nonce = free_nonce(&self.nonces, next.max(item.least_nonce));
            next = next.max(if item.least_nonce > next { next } else { nonce + 1 });
            item.nonce = nonce;
            item.phase = Phase::Staged;
            batch.push((key, job(item, fees)));
            self.nonces.insert((nonce, key));
            if batch.len() >= MAX_BATCH {
                break;
            }
        }
        for key in left.into_iter().rev() {
            self.queued.push_front(key);
        }
    }

    /// The first transaction of no use that waits, and fees with which another
    /// one takes its place.
    fn replaceable(&self, count: u64, least: Fees) -> Option<(Key, Fees)> {
        let waiting = self.nonces.range((count, 0)..);
        let mut orphans = waiting.filter_map(|(_, key)| Some((*key, self.items.get(key)?)));
        let (key, orphan) = orphans.find(|(_, item)| {
            let is_idle = matches!(&item.phase, Phase::Sending(sending) if !sending.in_flight);
            item.is_orphan && is_idle
        })?;
        let newest = orphan.versions.last()?.fees;
        Some((key, newest.raised(least, self.settings.max_fee_per_gas)?))
    }

    /// Gives a transaction the nonce of one that is of no use.
    fn take_over(&mut self, key: Key, orphan: Key, fees: Fees) -> Option<SigningJob> {
        let nonce = self.items.get(&orphan)?.nonce;
        self.forget(orphan);
        let item = self.items.get_mut(&key)?;
        item.nonce = nonce;
        item.phase = Phase::Staged;
        self.nonces.insert((nonce, key));
        Some(job(item, fees))
    }

    /// New versions of what waits too long, or pays too little.
    fn replacements(&mut self, price: Price, now: Instant) -> Vec<(Key, SigningJob)> {
        let ceiling = self.settings.max_fee_per_gas;
        let replace_after = self.settings.replace_after;
        let Ok(least) = price.fees(ceiling) else {
            return Vec::new();
        };
        let mut batch = Vec::new();
        for (_, key) in &self.nonces {
            let Some(item) = self.items.get_mut(key) else {
                continue;
            };
            let Some(newest) = item.versions.last().map(|version| version.fees) else {
                continue;
            };
            let Phase::Sending(sending) = &mut item.phase else {
                continue;
            };
            let is_stuck =
                now.saturating_duration_since(sending.priced) >= replace_after && price.is_above(newest);
            if sending.is_replaced || !(sending.too_cheap || is_stuck) {
                continue;
            }
            let Some(fees) = newest.raised(least, ceiling) else {
                tracing::debug!(
                    nonce = item.nonce,
                    "a transaction waits for a price below the ceiling"
                );
                continue;
            };
            sending.is_replaced = true;
            tracing::info!(
                nonce = item.nonce,
                ?fees,
                "a stuck transaction gets a higher price"
            );
            batch.push((*key, job(item, fees)));
            if batch.len() >= MAX_BATCH {
                break;
            }
        }
        batch
    }

    /// What the transactions that are not mined yet may still cost.
    fn reserved(&self, count: u64) -> U256 {
        let unmined = self
            .nonces
            .range((count, 0)..)
            .filter_map(|(_, key)| self.items.get(key));
        unmined.fold(U256::ZERO, |sum, item| sum.saturating_add(item.cost()))
    }

    pub(super) fn signed(&mut self, result: Result<Vec<Version>, ChainError>) {
        let Stage::Signing(keys) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return;
        };
        let versions = match result {
            Ok(versions) if versions.len() == keys.len() => versions,
            Ok(_) => Vec::new(),
            Err(refusal) => {
                keys.iter().for_each(|key| self.unstage(*key, &refusal));
                return;
            }
        };
        let batch: Vec<_> = keys.into_iter().zip(versions).collect();
        let mut entries = BTreeMap::new();
        for (key, version) in &batch {
            if let Some(item) = self.items.get_mut(key)
                && !matches!(item.phase, Phase::Final(_))
            {
                let note = *item.note.get_or_insert(OperationId::from_bytes(version.hash.0));
                let mut entry = item.entry();
                if matches!(item.phase, Phase::Staged) {
                    entry.versions.clear();
                }
                entry.versions.push(version.clone());
                entries.insert(note, Some(entry));
            }
        }
        self.dirty.extend(entries);
        self.write_not_before = None;
        self.stage = Stage::Ready(batch);
    }

    /// The batch may go to the chain.
    pub(super) fn staged_are_noted(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Writing(_)) {
            return;
        }
        let Stage::Writing(batch) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return;
        };
        for (key, version) in batch {
            let Some(item) = self.items.get_mut(&key) else {
                continue;
            };
            let hash = version.hash;
            match &mut item.phase {
                Phase::Staged => {
                    item.past
                        .extend(item.versions.drain(..).map(|version| version.hash));
                    item.versions.push(version);
                    item.phase = Phase::Sending(Sending::new(0, now));
                }
                Phase::Sending(sending) => {
                    let (in_flight, earlier) = (sending.in_flight, sending.next);
                    item.versions.push(version);
                    *sending = Sending::new(item.versions.len() - 1, now);
                    sending.in_flight = in_flight;
                    if let Some(at) = earlier {
                        self.agenda.remove(&(at, key));
                    }
                }
                // It was mined in the meantime: the chain never gets the new version.
                _ => continue,
            }
            self.hashes.insert(hash, key);
            self.agenda.insert((now, key));
        }
    }

    /// The batch was not noted, so it never goes to the chain.
    pub(super) fn staged_failed(&mut self, refusal: &ChainError) {
        if !matches!(self.stage, Stage::Writing(_)) {
            return;
        }
        if let Stage::Writing(batch) = std::mem::replace(&mut self.stage, Stage::Idle) {
            for (key, _) in batch {
                self.unstage(key, refusal);
            }
        }
    }

    fn unstage(&mut self, key: Key, refusal: &ChainError) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        match &mut item.phase {
            Phase::Staged if item.versions.is_empty() => self.give_up(key, refusal),
            Phase::Staged => {
                item.phase = Phase::Queued;
                self.nonces.remove(&(item.nonce, key));
                self.queued.push_front(key);
            }
            Phase::Sending(sending) => {
                sending.is_replaced = false;
                if let Some(note) = item.note {
                    let entry = item.entry();
                    self.dirty.insert(note, Some(entry));
                }
            }
            _ => {}
        }
    }

    /// Those that have not been begun never will be.
    pub(super) fn refuse_queued(&mut self, refusal: &ChainError) {
        let queued = std::mem::take(&mut self.queued);
        for key in queued {
            match self.items.get(&key) {
                Some(item) if item.versions.is_empty() => self.give_up(key, refusal),
                Some(_) => self.queued.push_back(key),
                None => {}
            }
        }
    }

    /// Forgets a transaction that the chain does not have and never gets.
    pub(super) fn give_up(&mut self, key: Key, refusal: &ChainError) {
        let Some(item) = self.remove(key) else {
            return;
        };
        if let Some(note) = item.note.filter(|_| !matches!(item.phase, Phase::Queued)) {
            // A write that failed may have reached the medium all the same.
            self.dirty.insert(note, None);
        }
        for ticket in item.tickets {
            self.answer(ticket, Answer::Begun(Err(refusal.clone())));
        }
    }
}

fn job(item: &Item, fees: Fees) -> SigningJob {
    SigningJob {
        draft: item.draft.clone(),
        nonce: item.nonce,
        fees,
    }
}

/// The first nonce from this one on that none of the own transactions bears.
fn free_nonce(nonces: &BTreeSet<(u64, Key)>, from: u64) -> u64 {
    let mut free = from;
    for (nonce, _) in nonces.range((from, 0)..) {
        if *nonce > free {
            break;
        }
        free = nonce.saturating_add(1);
    }
    free
}
