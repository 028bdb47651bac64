//! Decides what happens to the transactions of one account, without doing any
//! of it: takes events with their time, and says what shall be done.
//!
//! An order waits in [`Queue::queued`] until a look at the chain tells nonce,
//! price and balance ([`assign`]). It is signed, its operation is noted in the
//! journal, and only then the chain gets it ([`send`]). Looks find out what has to
//! be given to the chain again, and what costs more by now ([`watch`]); receipts
//! show what is mined, final, or taken back ([`receipts`]). Those who ask are
//! answered after a look that began later ([`asks`]).
//!
//! What makes an operation happen at most once: all its versions bear one nonce,
//! and each is durable before the chain can have it. It gets another nonce only
//! in [`receipts`], after the chain has counted that nonce in a block that is
//! final and has shown repeatedly that no version is what it counted.
//!
//! An operation that the chain refuses for good is given up: empty transactions
//! with its nonce take its place, so that nothing of it can be mined afterwards
//! and those behind it go on. It has failed once one of them is final. A version
//! of it that is mined all the same counts.
//!
//! A chain is known by its [`identity`]. Where another one stands in its place,
//! [`begin_anew`] says what becomes of the account's transactions.

mod asks;
mod assign;
mod begin_anew;
mod event;
mod identity;
mod item;
mod receipts;
mod replace;
mod report;
mod send;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use dm_core::{operation::OperationId, ports::ChainError};
use tokio::time::Instant;

use self::{
    asks::Ask,
    assign::Stage,
    identity::Identity,
    item::{Item, Phase, Sending},
    watch::Watch,
};
pub(crate) use self::{
    event::{Action, Answer, ChainSnapshot, Event, Outcome, SnapshotQuery, Subject, Ticket},
    item::Obstacle,
    report::{Report, Stuck},
};
use super::journal::{Change, JournalEntry, Kept};
use crate::{config::ClientConfig, tx::Draft};

/// Own number of a transaction in the queue.
type Key = u64;

/// Pause before the journal is tried again after it failed.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How the queue treats its chain.
#[derive(Debug, Clone)]
pub(crate) struct QueueConfig {
    /// Whose transactions they are.
    pub(crate) account: Address,
    /// See [`ClientConfig::confirmations`](crate::ClientConfig::confirmations).
    pub(crate) confirmations: u64,
    /// In wei.
    pub(crate) max_fee_per_gas: u128,
    /// See [`ClientConfig::replace_after`](crate::ClientConfig::replace_after).
    pub(crate) replace_after: Duration,
    /// Longest pause between two looks while something waits for a block.
    pub(crate) poll_interval: Duration,
    /// See [`ClientConfig::max_unmined`](crate::ClientConfig::max_unmined).
    pub(crate) max_unmined: u64,
}

impl QueueConfig {
    /// How an account's queue follows the client's configuration.
    pub(crate) fn new(account: Address, config: &ClientConfig) -> Self {
        Self {
            account,
            confirmations: config.confirmations,
            max_fee_per_gas: config.max_fee_per_gas,
            replace_after: config.replace_after,
            poll_interval: config.poll_interval,
            max_unmined: config.max_unmined,
        }
    }
}

/// The transactions of one account.
pub(crate) struct Queue {
    config: QueueConfig,
    items: BTreeMap<Key, Item>,
    next_key: Key,
    /// Those that have a nonce and are not final.
    nonces: BTreeSet<(u64, Key)>,
    ids: HashMap<OperationId, Key>,
    hashes: HashMap<B256, Key>,
    /// Those that need a nonce, in order.
    queued: VecDeque<Key>,
    /// When the chain gets which one.
    agenda: BTreeSet<(Instant, Key)>,
    stage: Stage,
    /// What the journal has to be told.
    dirty: BTreeMap<OperationId, Option<JournalEntry>>,
    /// What it is being told.
    writing: Option<Change>,
    write_not_before: Option<Instant>,
    /// Why nothing can be begun, and since when.
    refusing: Option<(Instant, ChainError)>,
    /// Why the last change of the journal failed.
    write_failure: Option<String>,
    identity: Identity,
    watch: Watch,
    asks: Vec<Ask>,
    actions: Vec<Action>,
}

impl Queue {
    /// The queue with what the journal has kept.
    pub(crate) fn restore(config: QueueConfig, kept: Kept, now: Instant) -> Self {
        let mut queue = Self {
            config,
            items: BTreeMap::new(),
            next_key: 0,
            nonces: BTreeSet::new(),
            ids: HashMap::new(),
            hashes: HashMap::new(),
            queued: VecDeque::new(),
            agenda: BTreeSet::new(),
            stage: Stage::Idle,
            dirty: BTreeMap::new(),
            writing: None,
            write_not_before: None,
            refusing: None,
            write_failure: None,
            identity: Identity::new(kept.landmarks),
            watch: Watch::new(now),
            asks: Vec::new(),
            actions: Vec::new(),
        };
        for (id, entry) in kept.entries {
            let key = queue.insert(Item::restored(id, entry, now));
            queue.index(key);
        }
        queue.begin_looking(now);
        queue
    }

    /// Takes note of an event and says what shall be done now.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Ordered { ticket, id, draft } => self.ordered(ticket, id, draft, now),
            Event::Asked {
                ticket,
                subject,
                until,
            } => self.asked(ticket, subject, until),
            Event::Concluded { ticket, id } => self.concluded(ticket, id),
            Event::Looked(result) => self.looked(result, now),
            Event::Fetched(receipts) => self.fetched(receipts, now),
            Event::Signed(result) => self.signed(result),
            Event::Written(result) => self.written(result, now),
            Event::Sent { hash, outcome } => self.sent(hash, outcome, now),
            Event::Woken => {}
        }
        self.answer_late_asks(now);
        self.send_due(now);
        self.write(now);
        self.look_if_due(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::Woken`] is to come, if nothing else happens before.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let next = self.agenda.first().filter(|_| self.watch.may_send());
        let sending = next.map(|(at, _)| *at);
        let writing = self.write_not_before.filter(|_| !self.dirty.is_empty());
        [sending, writing, self.next_look(), self.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The newest hash of an operation that was begun.
    pub(crate) fn begun(&self, id: &OperationId) -> Option<B256> {
        self.items.get(self.ids.get(id)?)?.hash()
    }

    /// Whether a change of the journal is under way.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    fn ordered(&mut self, ticket: Ticket, id: Option<OperationId>, draft: Draft, now: Instant) {
        let known = id
            .and_then(|id| self.ids.get(&id))
            .and_then(|key| self.items.get_mut(key));
        match known {
            Some(item) => match item.hash() {
                Some(hash) => self.answer(ticket, Answer::Begun(Ok(hash))),
                None => item.tickets.push(ticket),
            },
            None => {
                let key = self.insert(Item::new(id, draft, ticket, now));
                self.queued.push_back(key);
                self.watch.hurry();
            }
        }
    }

    fn insert(&mut self, item: Item) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        if let Some(id) = item.id {
            self.ids.insert(id, key);
        }
        self.items.insert(key, item);
        key
    }

    /// Lets a restored item be found by its nonce and its hashes, and sent.
    fn index(&mut self, key: Key) {
        let Some(item) = self.items.get(&key) else {
            return;
        };
        self.hashes
            .extend(item.hashes().chain(item.hash()).map(|hash| (hash, key)));
        match &item.phase {
            Phase::Final(_) | Phase::Refused if item.is_of_lost_chain => {}
            Phase::Final(_) | Phase::Refused => self.watch.raise_floor(item.nonce),
            Phase::Sending(sending) => {
                self.nonces.insert((item.nonce, key));
                self.agenda.extend(sending.next.map(|at| (at, key)));
            }
            Phase::Queued | Phase::Staged | Phase::Mined(_) => {}
        }
    }

    fn remove(&mut self, key: Key) -> Option<Item> {
        let item = self.items.remove(&key)?;
        for hash in item.hashes().chain(item.hash()) {
            self.hashes.remove(&hash);
        }
        if let Some(id) = item.id {
            self.ids.remove(&id);
        }
        self.nonces.remove(&(item.nonce, key));
        if let Phase::Sending(Sending { next: Some(at), .. }) = item.phase {
            self.agenda.remove(&(at, key));
        }
        Some(item)
    }

    /// Nobody needs it any more, nor its note.
    fn forget(&mut self, key: Key) {
        let note = self.remove(key).and_then(|item| item.note);
        self.dirty.extend(note.map(|note| (note, None)));
    }

    /// Tells the journal what it does not know yet.
    fn write(&mut self, now: Instant) {
        let has_news = !self.dirty.is_empty() || self.identity.has_news();
        if self.writing.is_some() || !has_news || self.write_not_before.is_some_and(|at| at > now) {
            return;
        }
        self.write_not_before = None;
        let change = Change {
            entries: std::mem::take(&mut self.dirty).into_iter().collect(),
            landmarks: self.identity.take_new(),
        };
        self.stage.begin_writing();
        self.writing = Some(change.clone());
        self.actions.push(Action::Write(change));
    }

    fn written(&mut self, result: Result<(), String>, now: Instant) {
        let change = self.writing.take().unwrap_or_default();
        let error = match result {
            Ok(()) => {
                self.write_failure = None;
                return self.staged_are_noted(now);
            }
            Err(error) => error,
        };
        tracing::error!(error, "the journal of transactions cannot be written");
        self.write_not_before = Some(now + WRITE_AGAIN_AFTER);
        for (id, entry) in change.entries {
            self.dirty.entry(id).or_insert(entry);
        }
        if change.landmarks.is_some() {
            self.identity.keep_for_later();
        }
        // The medium may have it all the same: who ordered must not take it for failed.
        self.staged_failed(&ChainError::Journal(error.clone()));
        self.write_failure = Some(error);
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.actions.push(Action::Answer(ticket, answer));
    }
}
