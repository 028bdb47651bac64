//! A queue, its journal, and a chain, with everything that can happen between them.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use alloy::primitives::{B256, Bytes, keccak256};
use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{
    super::{Action, Answer, Event, Outcome, Queue},
    chain::{Chain, Transaction, away, refused},
    fixtures::{config, draft, id, subject},
};
use crate::{
    transactions::{
        journal::{Change, JournalEntry, Kept},
        meter::TransactionMeter,
    },
    tx::{SigningJob, Version},
};

/// Blocks after which nothing is taken back.
pub(super) const CONFIRMATIONS: usize = 4;

/// How an action ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    /// Well.
    Good,
    /// Nothing was done, and an error comes back.
    Fails,
    /// It was done, and an error comes back.
    AnswerLost,
    /// It was done by a node that is this many blocks behind.
    Lags(usize),
    /// It was done, and one of several answers is lost.
    LosesOne(usize),
    /// One endpoint took it, or none did, and another one refuses it.
    Refuses { was_done: bool },
}

pub(super) struct World {
    pub(super) chain: Chain,
    queue: Queue,
    under_way: Vec<Action>,
    journal: Kept,
    signed: HashMap<B256, Transaction>,
    now: Instant,
    /// Operations whose beginning was answered, by their numbers.
    begun: HashSet<u8>,
    /// Those that were answered with an error after which nothing happens.
    refused: HashSet<u8>,
    /// Those of which it was answered that nobody knows.
    unclear: Vec<u8>,
    /// Those of which a transaction was on its way when the chain was replaced: it
    /// reaches the new one, whatever the node has seen of the old one by then. And those
    /// that the old one had without the node having seen it: they go on.
    crossing: HashSet<u8>,
    /// The mempool may have a transaction of which the node cannot know: one that
    /// crossed, or an anchor that was taken and called refused.
    has_ghosts: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            chain: Chain::new(),
            queue: Queue::restore(&config(), Kept::default(), now),
            under_way: Vec::new(),
            journal: Kept::default(),
            signed: HashMap::new(),
            now,
            begun: HashSet::new(),
            refused: HashSet::new(),
            unclear: Vec::new(),
            crossing: HashSet::new(),
            has_ghosts: false,
        }
    }

    fn tell(&mut self, event: Event) {
        for action in self.queue.handle(event, self.now) {
            match action {
                Action::Answer(ticket, answer) => self.answered(ticket, &answer),
                Action::FillGap(nonces) => (0..nonces).for_each(|_| self.order(None)),
                action => self.under_way.push(action),
            }
        }
    }

    /// Tickets are the numbers of operations.
    fn answered(&mut self, ticket: u64, answer: &Answer) {
        let Ok(operation) = u8::try_from(ticket) else {
            return;
        };
        match answer {
            Answer::Begun(Ok(_)) => {
                assert!(
                    self.entry(operation).is_some(),
                    "{operation} is begun and not noted"
                );
                self.begun.insert(operation);
                self.refused.remove(&operation);
            }
            Answer::Begun(Err(ChainError::Journal(_))) => self.unclear.push(operation),
            Answer::Begun(Err(_)) => drop(self.refused.insert(operation)),
            _ => {}
        }
    }

    pub(super) fn order(&mut self, operation: Option<u8>) {
        // What was refused may be wanted again.
        operation.map(|operation| self.refused.remove(&operation));
        self.tell(Event::Ordered {
            ticket: operation.map_or(u64::MAX, u64::from),
            id: operation.map(id),
            draft: draft(operation),
        });
    }

    pub(super) fn ask(&mut self, operation: u8) {
        self.tell(Event::Asked {
            ticket: u64::MAX,
            subject: subject(operation),
            until: None,
        });
    }

    /// Another chain stands in the place of the old one.
    pub(super) fn begin_anew(&mut self) {
        let sent = self.under_way.iter().filter_map(|action| match action {
            Action::Send { hash, .. } => self.signed[hash].operation,
            _ => None,
        });
        self.crossing.extend(sent);
        let is_unseen = |operation: &&u8| {
            let entry = self.entry(**operation);
            entry.is_none_or(|entry| entry.seen.is_none() && entry.done.is_none())
        };
        let unseen: Vec<u8> = self.begun.iter().filter(is_unseen).copied().collect();
        self.crossing.extend(unseen);
        self.has_ghosts = true;
        self.chain.begin_anew();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.tell(Event::Woken);
    }

    /// Lets one of the actions under way end.
    pub(super) fn perform(&mut self, which: usize, luck: Luck) {
        if self.under_way.is_empty() {
            return;
        }
        let action = self.under_way.swap_remove(which % self.under_way.len());
        let event = self.end(action, luck);
        self.tell(event);
        self.assert_at_most_once();
    }

    fn end(&mut self, action: Action, luck: Luck) -> Event {
        let lag = match luck {
            Luck::Lags(lag) => lag,
            _ => 0,
        };
        let is_lost = matches!(luck, Luck::Fails | Luck::AnswerLost);
        match action {
            Action::Look(_) if is_lost => Event::Looked(Err(away())),
            Action::Look(wanted) => Event::Looked(Ok(self.chain.look(wanted, lag))),
            Action::Fetch(_) if is_lost => Event::Fetched(Vec::new()),
            Action::Fetch(hashes) => {
                let receipts = hashes
                    .into_iter()
                    .map(|(hash, _)| (hash, self.chain.receipt(hash, lag)));
                let mut receipts: Vec<_> = receipts.collect();
                if let Luck::LosesOne(which) = luck {
                    receipts.remove(which % receipts.len());
                }
                Event::Fetched(receipts)
            }
            Action::Sign(_) if luck == Luck::Fails => Event::Signed(Err(away())),
            Action::Sign(jobs) => Event::Signed(Ok(jobs.iter().map(|job| self.sign(job)).collect())),
            Action::Write(changes) => self.write(&changes, luck),
            Action::Send { hash, .. } => {
                let is_anchor = self.signed[&hash].operation.is_none();
                self.has_ghosts |= luck == Luck::Refuses { was_done: true } && is_anchor;
                let outcome = match luck {
                    Luck::Fails => Outcome::Unknown(away()),
                    Luck::Refuses { was_done: false } => Outcome::Refused(refused()),
                    _ => self.chain.send(self.signed[&hash]),
                };
                Event::Sent {
                    hash,
                    outcome: match luck {
                        Luck::AnswerLost => Outcome::Unknown(away()),
                        Luck::Lags(2) => Outcome::NoRoom,
                        Luck::Refuses { .. } => Outcome::Refused(refused()),
                        _ => outcome,
                    },
                }
            }
            Action::FillGap(_) | Action::Answer(..) => Event::Woken,
        }
    }

    fn sign(&mut self, job: &SigningJob) -> Version {
        let operation = u8::try_from(job.draft.call.value.to::<u64>().wrapping_sub(1)).ok();
        let hash = keccak256(format!("{job:?}"));
        let transaction = Transaction {
            hash,
            nonce: job.nonce,
            max_fee: job.fees.highest(),
            operation,
        };
        self.signed.insert(hash, transaction);
        Version {
            hash,
            bytes: Bytes::new(),
            fees: job.fees,
        }
    }

    fn write(&mut self, change: &Change, luck: Luck) -> Event {
        if luck != Luck::Fails {
            for (id, entry) in &change.entries {
                self.journal.entries.retain(|(kept, _)| kept != id);
                self.journal
                    .entries
                    .extend(entry.clone().map(|entry| (*id, entry)));
            }
            self.journal.landmarks = change.landmarks.unwrap_or(self.journal.landmarks);
        }
        let is_noted = !matches!(luck, Luck::Fails | Luck::AnswerLost);
        Event::Written(is_noted.then_some(()).ok_or_else(|| "no space".to_owned()))
    }

    /// What the journal keeps of an operation.
    pub(super) fn entry(&self, operation: u8) -> Option<&JournalEntry> {
        let mut entries = self.journal.entries.iter();
        entries
            .find(|(kept, _)| *kept == id(operation))
            .map(|(_, entry)| entry)
    }

    /// The process dies and starts again. What was under way may have been done.
    pub(super) fn crash(&mut self, were_done: bool) {
        for action in std::mem::take(&mut self.under_way) {
            let is_harmless = matches!(action, Action::Write(_) | Action::Send { .. });
            if were_done && is_harmless {
                self.end(action, Luck::AnswerLost);
            }
        }
        self.queue = Queue::restore(&config(), self.journal.clone(), self.now);
        self.tell(Event::Woken);
        self.assert_at_most_once();
    }

    /// What was counted since the last start.
    pub(super) fn meter(&self) -> &TransactionMeter {
        &self.queue.ledger.meter
    }

    /// From here on all goes well, until everything is final.
    pub(super) fn settle(&mut self) {
        self.chain.base_fee = 10;
        for round in 0..2_000 {
            while !self.under_way.is_empty() {
                self.perform(0, Luck::Good);
            }
            if self.is_settled() {
                return self.assert_all_done();
            }
            if round % 2 == 0 {
                self.chain.mine(100);
            }
            // Mempools forget what stays below the price for hours.
            if self.has_ghosts && round == 500 {
                self.chain.drop_cheap();
            }
            self.pass(Duration::from_millis(700));
        }
        let open = self.journal.entries.iter().filter(|(_, entry)| !entry.is_over());
        panic!(
            "begun are {:?}, done are {:?}, open stay {:#?}",
            self.begun,
            self.chain.done(),
            open.collect::<Vec<_>>()
        );
    }

    /// Whether the next action that ends is a change of the journal.
    pub(super) fn is_writing(&self) -> bool {
        matches!(self.under_way.first(), Some(Action::Write(_)))
    }

    /// The operations of which it was answered that nobody knows whether they happen.
    pub(super) fn unclear(&self) -> &[u8] {
        &self.unclear
    }

    /// The most that any transaction offered.
    pub(super) fn highest_offer(&self) -> u128 {
        let offers = self.signed.values().map(|transaction| transaction.max_fee);
        offers.max().unwrap_or_default()
    }

    fn is_settled(&self) -> bool {
        let is_known = |operation: &u8| self.entry(*operation).is_some();
        let mut entries = self.journal.entries.iter();
        self.begun.iter().all(is_known) && entries.all(|(_, entry)| entry.is_over())
    }

    pub(super) fn assert_at_most_once(&self) {
        self.chain.assert_sound();
        for (operation, times) in self.chain.done() {
            assert!(times <= 1, "operation {operation} was done {times} times");
            assert!(
                !self.refused.contains(&operation),
                "operation {operation} was refused and done"
            );
        }
    }

    /// What was begun is done, or nothing of it was; and what is said of it is so.
    fn assert_all_done(&self) {
        let done = self.chain.done();
        for operation in &self.begun {
            let times = done.get(operation).copied().unwrap_or_default();
            let is_lost = |entry: &JournalEntry| {
                let block = entry.done.map(|mined| mined.block_hash);
                entry.is_of_lost_chain || block.is_some_and(|block| self.chain.is_lost(block))
            };
            match self.entry(*operation) {
                // A block had it that is gone; who ordered it decides what follows.
                // (Or one of the new chain, before that was noticed.)
                Some(entry) if is_lost(entry) => {
                    let on_this_chain = entry
                        .done
                        .filter(|mined| self.chain.receipt(mined.hash, 0) == Some(*mined));
                    let expected = usize::from(on_this_chain.is_some());
                    // What a reorganisation had taken back by then was done nowhere.
                    let may_be_done =
                        !self.chain.was_done_before(*operation) || self.crossing.contains(operation);
                    assert!(
                        times == expected || (may_be_done && times == 1),
                        "operation {operation} was done again"
                    );
                }
                Some(JournalEntry {
                    done: Some(mined), ..
                }) => {
                    assert_eq!(times, 1, "operation {operation}");
                    assert_eq!(self.chain.receipt(mined.hash, 0), Some(*mined));
                }
                _ => assert_eq!(times, 0, "operation {operation} has failed and was done"),
            }
        }
        for (operation, times) in done {
            assert_eq!(times, 1, "operation {operation}");
        }
    }
}
