//! The account's transactions, the journal's notes of them, and the answers to those who
//! wait for them: a transaction that moves on changes all three.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use dm_core::{operation::OperationId, ports::ChainError};
use tokio::time::Instant;

use super::{
    Answer, Key, QueueConfig, Subject, Ticket,
    item::{Item, Phase},
    items::Items,
    notes::Notes,
};
use crate::{
    transactions::{journal::Mined, meter::TransactionMeter},
    tx::Draft,
};

/// How often a transaction without operation may lose its nonce before it is given up.
const MAX_MOVES: u32 = 12;

/// The account's transactions, and what follows from their steps.
pub(super) struct Ledger {
    account: Address,
    pub(super) items: Items,
    pub(super) notes: Notes,
    answers: Vec<(Ticket, Answer)>,
    pub(super) meter: Arc<TransactionMeter>,
}

impl Ledger {
    pub(super) fn new(config: &QueueConfig) -> Self {
        Self {
            account: config.account,
            items: Items::default(),
            notes: Notes::default(),
            answers: Vec::new(),
            meter: config.meter.clone(),
        }
    }

    /// Adds what somebody wants, unless it is known; whether it is new.
    pub(super) fn order(
        &mut self,
        ticket: Ticket,
        id: Option<OperationId>,
        draft: Draft,
        now: Instant,
    ) -> bool {
        let known = id.and_then(|id| self.items.find(Subject::Operation(id)));
        let Some(item) = known.and_then(|key| self.items.get_mut(key)) else {
            self.items.order(Item::new(id, draft, ticket, now));
            return true;
        };
        match item.hash() {
            Some(hash) => self.answer(ticket, Answer::Begun(Ok(hash))),
            None => item.tickets.push(ticket),
        }
        false
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.answers.push((ticket, answer));
    }

    /// The answers that nobody has got yet.
    pub(super) fn take_answers(&mut self) -> Vec<(Ticket, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// Says how far a transaction is.
    pub(super) fn answer_state(&mut self, ticket: Ticket, subject: Subject) {
        let item = self.items.find(subject).and_then(|key| self.items.get(key));
        let state = item.and_then(|item| item.state(self.account));
        self.answer(ticket, Answer::State(state));
    }

    /// Tells those who wait for a transaction to begin what came of it.
    pub(super) fn answer_begun(&mut self, key: Key, begun: &Result<B256, ChainError>) {
        let Some(item) = self.items.get_mut(key) else {
            return;
        };
        for ticket in std::mem::take(&mut item.tickets) {
            self.answer(ticket, Answer::Begun(begun.clone()));
        }
    }

    /// Lets the journal know how far a transaction is.
    pub(super) fn note(&mut self, key: Key) {
        if let Some(item) = self.items.get(key)
            && let Some(note) = item.note
        {
            self.notes.note(note, Some(item.entry()));
        }
    }

    /// Forgets a transaction that the chain does not have and never gets.
    pub(super) fn give_up(&mut self, key: Key, refusal: &ChainError) {
        let Some(item) = self.items.remove(key) else {
            return;
        };
        let is_noted = !matches!(item.phase, Phase::Queued) || !item.versions.is_empty();
        let refusal = match item.note.filter(|note| self.notes.may_be_kept(note)) {
            Some(_) => ChainError::Journal(refusal.to_string()),
            None => refusal.clone(),
        };
        if let Some(note) = item.note.filter(|_| is_noted) {
            // A write that failed may have reached the medium all the same.
            self.notes.note(note, None);
        }
        for ticket in item.tickets {
            self.answer(ticket, Answer::Begun(Err(refusal.clone())));
        }
    }

    /// Those that have not been begun never will be.
    pub(super) fn refuse_queued(&mut self, refusal: &ChainError) {
        let mut begun = Vec::new();
        for key in self.items.take_all_queued() {
            match self.items.get(key) {
                Some(item) if item.versions.is_empty() => self.give_up(key, refusal),
                Some(_) => begun.push(key),
                None => {}
            }
        }
        self.items.put_back(begun.into_iter());
    }

    /// The chain may have a transaction of no operation, so it must not stand in
    /// the way of others.
    pub(super) fn make_orphan(&mut self, key: Key, error: &ChainError) {
        let Some(item) = self.items.get_mut(key).filter(|item| item.id.is_none()) else {
            return;
        };
        item.is_orphan = true;
        self.answer_begun(key, &Err(error.clone()));
    }

    /// Another program's transaction has the nonce.
    pub(super) fn take_other_nonce(&mut self, key: Key) {
        let Some(item) = self.items.get_mut(key) else {
            return;
        };
        item.moves += 1;
        if item.id.is_none() && (item.is_orphan || item.moves > MAX_MOVES) {
            let refusal = "other programs use every nonce of the account";
            return self.give_up(key, &ChainError::Refused(refusal.to_owned()));
        }
        tracing::warn!(
            nonce = item.nonce,
            "another program has used a nonce of this account"
        );
        item.least_nonce = item.nonce.saturating_add(1);
        item.taken_back = None;
        if item.id.is_none()
            // Its note bears the hash that it had with the old nonce.
            && let Some(note) = item.note.take()
        {
            self.notes.note(note, None);
        }
        self.items.requeue(key);
    }

    /// What came of a transaction stays as it is.
    pub(super) fn conclude(&mut self, key: Key, mined: Mined) {
        let Some(item) = self.items.get_mut(key) else {
            return;
        };
        if item.is_empty_version(mined.hash) {
            return self.end_refused(key);
        }
        item.refused = None;
        self.end(key, Phase::Final(mined));
    }

    /// Nothing of an operation that was given up can be mined any more.
    pub(super) fn end_refused(&mut self, key: Key) {
        if let Some(refused) = self.items.get_mut(key).and_then(|item| item.refused.as_mut()) {
            refused.is_over = true;
        }
        self.end(key, Phase::Refused);
    }

    /// Keeps of a transaction only what came of it; and nothing, where nobody asks.
    fn end(&mut self, key: Key, phase: Phase) {
        self.items.end(key, phase);
        let Some(item) = self.items.get_mut(key) else {
            return;
        };
        if item.id.is_none() {
            return self.forget(key);
        }
        item.past
            .extend(item.versions.drain(..).map(|version| version.hash));
        item.draft.call.input = Default::default();
        self.note(key);
    }

    /// Forgets an operation if it is final.
    pub(super) fn forget_final(&mut self, key: Key) -> bool {
        let is_final = self.items.get(key).is_some_and(Item::is_over);
        if is_final {
            self.forget(key);
        }
        is_final
    }

    /// Nobody needs it any more, nor its note.
    fn forget(&mut self, key: Key) {
        if let Some(note) = self.items.remove(key).and_then(|item| item.note) {
            self.notes.note(note, None);
        }
    }
}
