//! Decides what happens to the transactions of one account, without doing any
//! of it: takes events with their time, and says what shall be done.
//!
//! [`Queue`] takes the events and calls its parts in turn. Each part has its own state
//! and one job:
//!
//! | part | state | job |
//! | --- | --- | --- |
//! | [`ledger`] | [`items`] with their [`nonces`], [`notes`] for the journal, answers | what a step of a transaction changes |
//! | [`watch`] | the last look at the chain | when the next look is due |
//! | [`identity`] | landmarks | whether the chain is still the same one |
//! | [`assign`] | why nothing can be begun | nonces for what the account can pay |
//! | [`replace`] | none | further versions with higher fees, or empty ones |
//! | [`batch`] | versions that are being signed and noted | nothing is sent that is not durable |
//! | [`send`], [`outcome`] | none | what the chain gets, and what follows from its answer |
//! | [`receipts`] | none | what is mined, final, or taken back |
//! | [`gap`] | since when a nonce is missing | filling it |
//! | [`asks`] | who waits for an answer | answers that rest on a later look |
//!
//! An order waits until a look at the chain tells nonce, price and balance. It is signed,
//! its operation is noted in the journal, and only then the chain gets it. Receipts show
//! when it is mined and final.
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
mod batch;
mod begin_anew;
mod config;
mod event;
mod gap;
mod identity;
mod item;
mod items;
mod ledger;
mod nonces;
mod notes;
mod outcome;
mod receipts;
mod replace;
mod report;
mod send;
#[cfg(test)]
mod tests;
mod watch;

use alloy::primitives::B256;
use dm_core::{operation::OperationId, ports::ChainError};
use tokio::time::Instant;

use self::{
    asks::Asks,
    assign::Assigner,
    batch::{Batch, MAX_BATCH},
    gap::Gap,
    identity::{Identity, Recognition},
    item::{Item, Phase},
    ledger::Ledger,
    receipts::Receipts,
    replace::Replacer,
    send::Sender,
    watch::{Awaited, Watch},
};
pub(crate) use self::{
    config::QueueConfig,
    event::{Action, Answer, ChainSnapshot, Event, Outcome, SnapshotQuery, Subject, Ticket},
    item::Obstacle,
    report::{Report, Stuck},
};
use super::journal::Kept;

/// Own number of a transaction in the queue.
type Key = u64;

/// No mempool holds more of one account; who says so makes no sense.
const MAX_PENDING: u64 = 1 << 20;

/// The transactions of one account.
pub(crate) struct Queue {
    /// Blocks on top of one that make it final.
    confirmations: u64,
    ledger: Ledger,
    watch: Watch,
    identity: Identity,
    assigner: Assigner,
    replacer: Replacer,
    batch: Batch,
    sender: Sender,
    receipts: Receipts,
    gap: Gap,
    asks: Asks,
    actions: Vec<Action>,
}

impl Queue {
    /// The queue with what the journal has kept.
    pub(crate) fn restore(config: &QueueConfig, kept: Kept, now: Instant) -> Self {
        let mut queue = Self {
            confirmations: config.confirmations,
            ledger: Ledger::new(config),
            watch: Watch::new(config.poll_interval, now),
            identity: Identity::new(kept.landmarks),
            assigner: Assigner::new(config),
            replacer: Replacer::new(config),
            batch: Batch::default(),
            sender: Sender::new(config),
            receipts: Receipts::new(config),
            gap: Gap::default(),
            asks: Asks::default(),
            actions: Vec::new(),
        };
        for (id, entry) in kept.entries {
            queue.ledger.items.restore(Item::restored(id, entry, now));
        }
        if queue.awaited() == Awaited::Nothing {
            queue.watch.rest(now);
        }
        queue
    }

    /// Takes note of an event and says what shall be done now.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let (ledger, round) = (&mut self.ledger, self.watch.round());
        match event {
            Event::Ordered { ticket, id, draft } => {
                if ledger.order(ticket, id, draft, now) {
                    self.watch.set_fruitless(false);
                }
            }
            Event::Asked {
                ticket,
                subject,
                until,
            } => self.asks.ask(ledger, ticket, subject, until, round),
            Event::Concluded { ticket, id } => self.asks.conclude(ledger, ticket, id, round),
            Event::Looked(result) => self.looked(result, now),
            Event::Fetched(found) => {
                self.receipts
                    .fetched(ledger, &mut self.identity, &mut self.watch, found, now);
                self.end_look(now);
            }
            Event::Signed(result) => self.batch.signed(ledger, result),
            Event::Written(result) => self.written(result, now),
            Event::Sent { hash, outcome } => {
                if outcome::sent(ledger, hash, outcome, now) {
                    self.watch.hasten(now);
                }
            }
            Event::Woken => {}
        }
        self.asks.answer_late(&mut self.ledger, now);
        self.send_due(now);
        self.write(now);
        self.look_if_due(now);
        self.take_actions()
    }

    fn take_actions(&mut self) -> Vec<Action> {
        let answers = self.ledger.take_answers().into_iter();
        let answers = answers.map(|(ticket, answer)| Action::Answer(ticket, answer));
        std::mem::take(&mut self.actions)
            .into_iter()
            .chain(answers)
            .collect()
    }

    /// When [`Event::Woken`] is to come, if nothing else happens before.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let sending = self.ledger.items.next_due().filter(|_| self.watch.may_send());
        let writing = self.ledger.notes.retry_at();
        [
            sending,
            writing,
            self.watch.next_look(),
            self.asks.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The newest hash of an operation that was begun.
    pub(crate) fn begun(&self, id: &OperationId) -> Option<B256> {
        let key = self.ledger.items.find(Subject::Operation(*id))?;
        self.ledger.items.get(key)?.hash()
    }

    /// Whether a change of the journal is under way.
    pub(crate) fn is_writing(&self) -> bool {
        self.ledger.notes.is_writing()
    }

    fn send_due(&mut self, now: Instant) {
        if self.watch.may_send() {
            let count = self.watch.count();
            let sends = self.sender.send_due(&mut self.ledger.items, count, now);
            self.actions.extend(sends);
        }
    }

    /// Tells the journal what it does not know yet.
    fn write(&mut self, now: Instant) {
        if let Some(change) = self.ledger.notes.begin(&mut self.identity, now) {
            self.batch.begin_writing();
            self.actions.push(Action::Write(change));
        }
    }

    fn written(&mut self, result: Result<(), String>, now: Instant) {
        let result = self.ledger.notes.end(result, &mut self.identity, now);
        // The medium may have it all the same: who ordered must not take it for failed.
        if self.batch.written(&mut self.ledger, &result, now) {
            self.assigner.note_begun();
        }
    }

    fn look_if_due(&mut self, now: Instant) {
        let is_asked_for = self.asks.need_look_after(self.watch.round());
        let is_wanted = is_asked_for || (self.wants_nonces() && !self.watch.is_fruitless());
        if self.watch.is_due(is_wanted && !self.is_strange(), now) {
            let mark = receipts::newest_block(&self.ledger.items);
            let query = self.query(mark.map(|(number, _)| number), now);
            self.watch.begin(query, mark);
            self.actions.push(Action::Look(query));
        }
    }

    /// What the next look has to find out, beside the hash of this block.
    fn query(&self, block: Option<u64>, now: Instant) -> SnapshotQuery {
        let (items, height) = (&self.ledger.items, self.watch.height());
        let must_recognise = !self.watch.may_send() || self.identity.has_doubts(now);
        let wants_price = self.wants_nonces() || self.replacer.wants_price(items, now);
        SnapshotQuery {
            block,
            landmark: must_recognise.then(|| self.identity.block_to_ask(height)),
            count_at: receipts::is_any_absent(items).then(|| height.saturating_sub(self.confirmations)),
            price: wants_price && self.batch.is_idle(),
            balance: self.wants_nonces(),
        }
    }

    fn wants_nonces(&self) -> bool {
        self.ledger.items.has_queued() && self.batch.is_idle()
    }

    fn is_strange(&self) -> bool {
        self.identity.strange_since().is_some()
    }

    fn looked(&mut self, result: Result<ChainSnapshot, ChainError>, now: Instant) {
        let snapshot = match result.and_then(plausible) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.ledger.refuse_queued(&error);
                self.watch.fail(&error);
                return self.end_look(now);
            }
        };
        let has_advanced = self.watch.note_head(&snapshot);
        let landmark = self.watch.asked().landmark;
        match self.identity.recognise(landmark, snapshot.landmark, now) {
            // A note that is being made of a further version must not be overtaken.
            Recognition::Same if self.batch.is_idle() => {
                receipts::confirm_taken_back(&mut self.ledger, &snapshot);
            }
            // Not every endpoint has every block.
            Recognition::Same | Recognition::Unknown => {}
            // Nothing is sent to it, and nothing that it says of the account is believed.
            Recognition::Strange => {
                self.watch.hold_sends();
                return self.end_look(now);
            }
            Recognition::Another => return self.begin_anew(landmark, &snapshot, now),
        }
        self.follow(&snapshot, has_advanced, now);
    }

    /// Does what follows from a look at the account's chain.
    fn follow(&mut self, snapshot: &ChainSnapshot, has_advanced: bool, now: Instant) {
        self.watch.believe(snapshot);
        self.identity.note_height(snapshot.height, self.confirmations);
        let is_reorganised = self.watch.is_reorganised(snapshot);
        if is_reorganised {
            receipts::doubt_all(&mut self.ledger.items);
        }
        let wanted = self.receipts.in_doubt(&self.ledger.items, &self.watch);
        self.sender
            .resend(&mut self.ledger.items, snapshot, has_advanced, now);
        if !is_reorganised {
            // Else it is not known which nonces are in use.
            self.make_batch(snapshot, now);
        }
        // What has no nonce now cannot have one before something changes.
        self.watch.set_fruitless(self.wants_nonces());
        self.fill_gap(snapshot, now);
        match wanted.is_empty() {
            true => self.end_look(now),
            false => self.actions.push(Action::Fetch(wanted)),
        }
    }

    /// Makes a batch of what needs a higher price, and of what needs a nonce.
    fn make_batch(&mut self, snapshot: &ChainSnapshot, now: Instant) {
        let Some(price) = snapshot.price.filter(|_| self.batch.is_idle()) else {
            return;
        };
        let mut jobs = self
            .replacer
            .replace(&mut self.ledger.items, price, MAX_BATCH, now);
        let room = MAX_BATCH - jobs.len();
        jobs.extend(self.assigner.assign(&mut self.ledger, snapshot, room, now));
        self.actions.extend(self.batch.begin(jobs));
    }

    fn fill_gap(&mut self, snapshot: &ChainSnapshot, now: Instant) {
        // What waits for a nonce fills the gap by itself.
        if self.ledger.items.has_queued() || !self.batch.is_idle() {
            return self.gap.forget();
        }
        let nonces = self.ledger.items.nonces();
        let expected = nonces.first_free(snapshot.count.max(snapshot.pending));
        let missing = nonces.missing_from(expected.max(nonces.floor()));
        let filled = self.gap.note(missing, now).map(Action::FillGap);
        self.actions.extend(filled);
    }

    /// Follows the chain that stands in the place of the one before.
    fn begin_anew(&mut self, landmark: Option<u64>, snapshot: &ChainSnapshot, now: Instant) {
        // What is being signed and noted must not fall between the two.
        if self.batch.is_idle() {
            tracing::warn!(
                height = snapshot.height,
                "the chain has begun anew; the transactions of this account go on there"
            );
            self.identity.begin_anew(landmark, snapshot.landmark);
            self.watch.forget_chain();
            self.gap.forget();
            begin_anew::carry_over(&mut self.ledger);
        }
        self.watch.hasten(now);
        self.end_look(now);
    }

    fn end_look(&mut self, now: Instant) {
        self.watch.end(self.awaited(), now);
        self.asks.answer(&mut self.ledger, self.watch.round());
    }

    /// What the next look may show.
    fn awaited(&self) -> Awaited {
        let items = &self.ledger.items;
        let is_idle = items.nonces().is_empty() && !items.has_queued() && self.asks.is_empty();
        let is_on_its_way = |item: &Item| matches!(item.phase, Phase::Sending(_));
        match items.bearers().any(|(_, item)| is_on_its_way(item)) {
            true => Awaited::Blocks,
            false if is_idle && !self.is_strange() => Awaited::Nothing,
            false => Awaited::Finality,
        }
    }
}

/// Refuses an answer that makes no sense.
fn plausible(snapshot: ChainSnapshot) -> Result<ChainSnapshot, ChainError> {
    match snapshot.pending <= snapshot.count.saturating_add(MAX_PENDING) {
        true => Ok(snapshot),
        false => Err(ChainError::Unavailable("its answer makes no sense".to_owned())),
    }
}
