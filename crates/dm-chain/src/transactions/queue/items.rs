//! The account's transactions, with the indices by which they are found.
//!
//! A transaction stands in the queue while its phase is [`Phase::Queued`], among the
//! nonces from [`Phase::Staged`] until it is over, and on the agenda while its
//! [`Sending`] says when the chain gets it next. Each change here keeps that true.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use alloy::primitives::B256;
use dm_core::operation::OperationId;
use tokio::time::Instant;

use super::{
    Key, Subject,
    item::{Item, Phase, Sending},
    nonces::Nonces,
};

/// The account's transactions.
#[derive(Default)]
pub(super) struct Items {
    by_key: BTreeMap<Key, Item>,
    next_key: Key,
    by_id: HashMap<OperationId, Key>,
    by_hash: HashMap<B256, Key>,
    nonces: Nonces,
    /// Those that need a nonce, in order.
    queued: VecDeque<Key>,
    /// When the chain gets which one.
    agenda: BTreeSet<(Instant, Key)>,
}

impl Items {
    /// Adds one that needs a nonce.
    pub(super) fn order(&mut self, item: Item) {
        let key = self.insert(item);
        self.queued.push_back(key);
    }

    /// Adds one that the journal has kept.
    pub(super) fn restore(&mut self, item: Item) {
        let key = self.insert(item);
        let Some(item) = self.by_key.get(&key) else {
            return;
        };
        let hashes = item.hashes().chain(item.hash());
        self.by_hash.extend(hashes.map(|hash| (hash, key)));
        match &item.phase {
            Phase::Final(_) | Phase::Refused if item.is_of_lost_chain => {}
            Phase::Final(_) | Phase::Refused => self.nonces.raise_floor(item.nonce),
            Phase::Sending(sending) => {
                self.nonces.insert(item.nonce, key);
                self.agenda.extend(sending.next.map(|at| (at, key)));
            }
            Phase::Queued | Phase::Staged | Phase::Mined(_) => {}
        }
    }

    fn insert(&mut self, item: Item) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        if let Some(id) = item.id {
            self.by_id.insert(id, key);
        }
        self.by_key.insert(key, item);
        key
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Item> {
        let item = self.by_key.remove(&key)?;
        for hash in item.hashes().chain(item.hash()) {
            self.by_hash.remove(&hash);
        }
        if let Some(id) = item.id {
            self.by_id.remove(&id);
        }
        self.nonces.remove(item.nonce, key);
        if let Phase::Sending(Sending { next: Some(at), .. }) = item.phase {
            self.agenda.remove(&(at, key));
        }
        Some(item)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Item> {
        self.by_key.get(&key)
    }

    /// Its nonce, its phase, and when the chain gets it next have methods of their own.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Item> {
        self.by_key.get_mut(&key)
    }

    /// What is known of one that is on its way into a block.
    pub(super) fn sending(&self, key: Key) -> Option<&Sending> {
        match &self.get(key)?.phase {
            Phase::Sending(sending) => Some(sending),
            _ => None,
        }
    }

    pub(super) fn find(&self, subject: Subject) -> Option<Key> {
        match subject {
            Subject::Operation(id) => self.by_id.get(&id).copied(),
            Subject::Hash(hash) => self.by_hash.get(&hash).copied(),
        }
    }

    /// It is found by this hash, too.
    pub(super) fn index_hash(&mut self, hash: B256, key: Key) {
        self.by_hash.insert(hash, key);
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.by_key.keys().copied().collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Item> {
        self.by_key.values()
    }

    pub(super) fn nonces(&self) -> &Nonces {
        &self.nonces
    }

    /// Those that bear a nonce, in the order of the nonces.
    pub(super) fn bearers(&self) -> impl Iterator<Item = (Key, &Item)> {
        let keys = self.nonces.all_bearers();
        keys.filter_map(|key| Some((key, self.get(key)?)))
    }

    /// Whether a transaction of no use has lost its nonce to a later one. The chain gets
    /// it no more, but it is known until the nonce is final: a block may have had it, and
    /// after a reorganisation it would stand in the way where nobody looks for it.
    pub(super) fn is_displaced(&self, key: Key) -> bool {
        self.get(key)
            .is_some_and(|item| item.is_orphan && self.nonces.has_later_bearer(item.nonce, key))
    }

    /// Gives one this nonce, with which it is signed and noted.
    pub(super) fn stage(&mut self, key: Key, nonce: u64) {
        if let Some(item) = self.by_key.get_mut(&key) {
            item.nonce = nonce;
            item.phase = Phase::Staged;
            self.nonces.insert(nonce, key);
        }
    }

    /// Takes the nonce from one, which needs another one before all others.
    pub(super) fn requeue(&mut self, key: Key) {
        self.set_phase(key, Phase::Queued);
        if let Some(item) = self.by_key.get(&key) {
            self.nonces.remove(item.nonce, key);
            self.queued.push_front(key);
        }
    }

    /// Nothing can change it any more; its nonce is used up.
    pub(super) fn end(&mut self, key: Key, phase: Phase) {
        self.set_phase(key, phase);
        if let Some(item) = self.by_key.get(&key) {
            if !item.is_of_lost_chain {
                self.nonces.raise_floor(item.nonce);
            }
            self.nonces.remove(item.nonce, key);
        }
    }

    /// Changes how far one is, and with that when the chain gets it.
    pub(super) fn set_phase(&mut self, key: Key, phase: Phase) {
        let Some(item) = self.by_key.get_mut(&key) else {
            return;
        };
        if let Phase::Sending(Sending { next: Some(at), .. }) = &item.phase {
            self.agenda.remove(&(*at, key));
        }
        if let Phase::Sending(Sending { next: Some(at), .. }) = &phase {
            self.agenda.insert((*at, key));
        }
        item.phase = phase;
    }

    /// The chain gets it at this time, if it is on its way.
    pub(super) fn send_at(&mut self, key: Key, at: Instant) {
        let Some(Phase::Sending(sending)) = self.by_key.get_mut(&key).map(|item| &mut item.phase) else {
            return;
        };
        if let Some(earlier) = sending.next.replace(at) {
            self.agenda.remove(&(earlier, key));
        }
        self.agenda.insert((at, key));
    }

    /// When the chain gets the next one.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Takes from the agenda one that the chain shall have by now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Key> {
        let (at, key) = self.agenda.first().copied().filter(|(at, _)| *at <= now)?;
        self.agenda.remove(&(at, key));
        if let Some(Phase::Sending(sending)) = self.by_key.get_mut(&key).map(|item| &mut item.phase) {
            sending.next = None;
        }
        Some(key)
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Takes the first of those that need a nonce.
    pub(super) fn take_queued(&mut self) -> Option<Key> {
        self.queued.pop_front()
    }

    /// Takes all that need a nonce.
    pub(super) fn take_all_queued(&mut self) -> VecDeque<Key> {
        std::mem::take(&mut self.queued)
    }

    /// They need a nonce still, before all others.
    pub(super) fn put_back(&mut self, keys: impl DoubleEndedIterator<Item = Key>) {
        for key in keys.rev() {
            self.queued.push_front(key);
        }
    }

    /// Everything begins at the first nonce on a chain that began anew.
    pub(super) fn forget_floor(&mut self) {
        self.nonces.forget_floor();
    }
}
