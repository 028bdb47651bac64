//! From an order to transactions that are signed and noted: one batch at a
//! time, while further orders gather for the next.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, U256};
use dm_core::{operation::OperationId, ports::ChainError};
use tokio::time::Instant;

use super::{
    Action, Answer, ChainSnapshot, Key, Queue, Sending,
    item::{Item, Phase},
};
use crate::tx::{Fees, Price, SigningJob, Version};

/// Most transactions of a batch.
pub(super) const MAX_BATCH: usize = 512;
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
    pub(super) fn assign(&mut self, snapshot: &ChainSnapshot, now: Instant) {
        let Some(price) = snapshot.price.filter(|_| self.stage.is_idle()) else {
            return;
        };
        let mut batch = self.replacements(price, now);
        if let Some(balance) = snapshot.balance {
            self.first_versions(snapshot, price, balance, &mut batch, now);
        }
        if !batch.is_empty() {
            let (keys, jobs) = batch.into_iter().unzip();
            self.stage = Stage::Signing(keys);
            self.actions.push(Action::Sign(jobs));
        }
    }

    /// Nonces for what waits for one, in the order of the orders, as long as the account
    /// can pay for them.
    fn first_versions(
        &mut self,
        snapshot: &ChainSnapshot,
        price: Price,
        balance: U256,
        batch: &mut Vec<(Key, SigningJob)>,
        now: Instant,
    ) {
        let fees = match price.fees(self.config.max_fee_per_gas) {
            Ok(fees) => fees,
            Err(refusal) => {
                self.note_refusing(&refusal, now);
                return self.refuse_queued(&refusal);
            }
        };
        let mut funds = Funds {
            balance,
            reserved: self.reserved(snapshot.count),
        };
        // What is final has used its nonces up, whatever an endpoint that lags behind counts.
        let counted = snapshot.pending.max(snapshot.count);
        let mut nonces = NonceCursor::from(counted.max(self.watch.floor()));
        let mut postponed = Vec::new();
        while batch.len() < MAX_BATCH
            && let Some(key) = self.queued.pop_front()
        {
            match self.admit(key, fees, &mut funds, now) {
                Admission::Granted => {
                    let job = self.first_version(key, snapshot, fees, &mut nonces);
                    batch.extend(job.map(|job| (key, job)));
                }
                Admission::Postponed => postponed.push(key),
                Admission::Refused => {}
            }
        }
        for key in postponed.into_iter().rev() {
            self.queued.push_front(key);
        }
    }

    /// Whether the account can pay for one more; reserves what it may cost.
    fn admit(&mut self, key: Key, fees: Fees, funds: &mut Funds, now: Instant) -> Admission {
        let Some(item) = self.items.get(&key) else {
            return Admission::Refused;
        };
        let needed = funds.reserved.saturating_add(item.draft.cost(fees.highest()));
        if needed <= funds.balance {
            funds.reserved = needed;
            return Admission::Granted;
        }
        // What was begun with a nonce that another program has used stays begun.
        if !item.versions.is_empty() {
            return Admission::Postponed;
        }
        let refusal = ChainError::InsufficientFunds {
            account: self.config.account,
            balance: funds.balance,
            needed,
        };
        // Who wants to send more coins than there are says nothing of the account.
        if item.draft.call.value.is_zero() {
            self.note_refusing(&refusal, now);
        }
        self.give_up(key, &refusal);
        Admission::Refused
    }

    /// Gives a transaction its nonce: that of one which is of no use, where it may be
    /// done twice, or else the next free one.
    fn first_version(
        &mut self,
        key: Key,
        snapshot: &ChainSnapshot,
        fees: Fees,
        nonces: &mut NonceCursor,
    ) -> Option<SigningJob> {
        // An operation keeps the nonce that it has been noted with, so it takes over none.
        if self.items.get(&key)?.id.is_none()
            && let Some((nonce, fees)) = self.replaceable(snapshot, fees)
        {
            return self.stage(key, nonce, fees);
        }
        let nonce = nonces.take(&self.nonces, self.items.get(&key)?.least_nonce);
        self.stage(key, nonce, fees)
    }

    fn stage(&mut self, key: Key, nonce: u64, fees: Fees) -> Option<SigningJob> {
        let item = self.items.get_mut(&key)?;
        item.nonce = nonce;
        item.phase = Phase::Staged;
        self.nonces.insert((nonce, key));
        Some(job(item, fees, self.config.account))
    }

    /// The nonce of the first transaction of no use that waits, and fees with which
    /// another one takes its place. One behind a gap has to wait: first the gap is filled.
    fn replaceable(&self, snapshot: &ChainSnapshot, least: Fees) -> Option<(u64, Fees)> {
        let end = self.first_missing(snapshot).max(snapshot.count);
        let waiting = self.nonces.range((snapshot.count, 0)..(end, 0));
        let mut orphans = waiting.filter_map(|(nonce, key)| Some((*nonce, *key, self.items.get(key)?)));
        let (nonce, _, orphan) = orphans.find(|(_, key, item)| {
            let is_idle =
                matches!(&item.phase, Phase::Sending(sending) if !sending.in_flight && !sending.is_replaced);
            item.is_orphan && is_idle && !self.is_displaced(*key)
        })?;
        let newest = orphan.versions.last()?.fees;
        Some((nonce, newest.raised(least, self.config.max_fee_per_gas)?))
    }

    /// Whether a transaction of no use has lost its nonce to a later one. The chain gets
    /// it no more, but it is known until the nonce is final: a block may have had it, and
    /// after a reorganisation it would stand in the way where nobody looks for it.
    pub(super) fn is_displaced(&self, key: Key) -> bool {
        self.items.get(&key).is_some_and(|item| {
            let mut later = self.nonces.range((item.nonce, key + 1)..(item.nonce + 1, 0));
            item.is_orphan && later.next().is_some()
        })
    }

    /// Nothing can be begun, not even what moves no coins.
    fn note_refusing(&mut self, refusal: &ChainError, now: Instant) {
        let since = self.refusing.as_ref().map_or(now, |(since, _)| *since);
        self.refusing = Some((since, refusal.clone()));
    }

    /// What the transactions that are not mined yet may still cost.
    fn reserved(&self, count: u64) -> U256 {
        let unmined = self
            .nonces
            .range((count, 0)..)
            .filter(|(_, key)| !self.is_displaced(*key))
            .filter_map(|(_, key)| self.items.get(key));
        unmined.fold(U256::ZERO, |sum, item| {
            sum.saturating_add(item.cost(self.config.account))
        })
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
                && !item.is_over()
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
        // All may have been mined or given up in the meantime. Then there is nothing to note,
        // and a batch that waited for the journal would wait for ever.
        if entries.is_empty() {
            return;
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
                    self.refusing = None;
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

    /// Whether the journal may have an operation whose note is on its way out: should
    /// the process die before that, it happens.
    fn may_be_noted(&self, note: &OperationId) -> bool {
        let mut written = self.writing.iter().flat_map(|change| &change.entries);
        self.dirty.contains_key(note) || written.any(|(changed, _)| changed == note)
    }

    /// Forgets a transaction that the chain does not have and never gets.
    pub(super) fn give_up(&mut self, key: Key, refusal: &ChainError) {
        let Some(item) = self.remove(key) else {
            return;
        };
        let is_noted = !matches!(item.phase, Phase::Queued) || !item.versions.is_empty();
        let refusal = match item.note.filter(|note| self.may_be_noted(note)) {
            Some(_) => ChainError::Journal(refusal.to_string()),
            None => refusal.clone(),
        };
        if let Some(note) = item.note.filter(|_| is_noted) {
            // A write that failed may have reached the medium all the same.
            self.dirty.insert(note, None);
        }
        for ticket in item.tickets {
            self.answer(ticket, Answer::Begun(Err(refusal.clone())));
        }
    }
}

pub(super) fn job(item: &Item, fees: Fees, account: Address) -> SigningJob {
    SigningJob {
        draft: item.next_draft(account),
        nonce: item.nonce,
        fees,
    }
}

/// What the account has, and what of it is spoken for, in wei.
struct Funds {
    balance: U256,
    reserved: U256,
}

/// Whether a transaction that waits gets a nonce.
enum Admission {
    /// It does.
    Granted,
    /// It does when there are more coins.
    Postponed,
    /// It never will.
    Refused,
}

/// Hands out the free nonces of a batch in rising order.
struct NonceCursor {
    /// All nonces below are in use.
    next: u64,
}

impl NonceCursor {
    fn from(next: u64) -> Self {
        Self { next }
    }

    /// The first nonce that none of the own transactions bears and that is not below
    /// `least`. The caller inserts it into `used`.
    fn take(&mut self, used: &BTreeSet<(u64, Key)>, least: u64) -> u64 {
        let nonce = first_free(used, self.next.max(least));
        // One that must lie higher leaves those between free for the next transactions:
        // a gap would keep everything behind it out of the blocks.
        if least <= self.next {
            self.next = nonce.saturating_add(1);
        }
        nonce
    }
}

/// The first nonce from this one on that none of the own transactions bears.
fn first_free(used: &BTreeSet<(u64, Key)>, from: u64) -> u64 {
    let mut free = from;
    for (nonce, _) in used.range((from, 0)..) {
        if *nonce > free {
            break;
        }
        free = nonce.saturating_add(1);
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_must_lie_higher_leaves_the_nonces_between_to_the_next() {
        let mut used = BTreeSet::from([(6, 0)]);
        let mut nonces = NonceCursor::from(5);
        let given: Vec<_> = [0, 9, 0, 0, 0, 0]
            .into_iter()
            .map(|least| {
                let nonce = nonces.take(&used, least);
                used.insert((nonce, 1));
                nonce
            })
            .collect();
        assert_eq!(given, [5, 9, 7, 8, 10, 11]);
    }
}
