//! Giving transactions to the chain, and what it says then.

use std::time::Duration;

use alloy::primitives::B256;
use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{
    Action, Answer, Key, Outcome, Queue,
    item::{Item, Obstacle, Phase, Sending},
};
use crate::transactions::journal::Refused;

/// Pause before a transaction is given to the chain again that it did not take;
/// each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How often the pause is doubled at most.
const MAX_DOUBLINGS: u32 = 6;
/// How often a transaction without operation is tried before it is given up.
const MAX_TRIES: u32 = 12;
/// How often in a row the chain must call a transaction invalid before it is given up.
const MAX_INVALID: u32 = 3;
/// How often in a row the chain must refuse it for a reason that is not known to
/// last: with the pauses between, for more than a minute.
const MAX_REFUSALS: u32 = 10;

/// What follows when the chain has not taken a transaction.
enum Next {
    /// It gets it again after a pause.
    Again,
    /// It gets it with another nonce: another program has taken this one.
    WithOtherNonce,
    /// The chain gets this version, which pays less.
    Cheaper(usize, ChainError),
    /// The transaction is forgotten.
    Never(ChainError),
    /// It is given up; an empty one gets its nonce.
    Empty(ChainError),
}

impl Queue {
    /// Gives the chain what it shall have by now.
    pub(super) fn send_due(&mut self, now: Instant) {
        if !self.watch.may_send() {
            return;
        }
        while let Some((at, key)) = self.agenda.first().copied().filter(|(at, _)| *at <= now) {
            self.agenda.remove(&(at, key));
            self.send(key);
        }
    }

    fn send(&mut self, key: Key) {
        let count = self.watch.count();
        let end = count.saturating_add(self.config.max_unmined);
        let is_displaced = self.is_displaced(key);
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        let Phase::Sending(sending) = &mut item.phase else {
            return;
        };
        sending.next = None;
        // Where the chain counts the nonce, receipts tell what became of it. What does not
        // fit into the mempool yet goes out when others are mined.
        let has_room = (count..end).contains(&item.nonce);
        let is_held_back = sending.is_barred || item.taken_back.is_some() || is_displaced;
        if sending.in_flight || is_held_back || !has_room {
            return;
        }
        let Some(version) = item.versions.get(sending.current) else {
            return;
        };
        sending.in_flight = true;
        self.actions.push(Action::Send {
            hash: version.hash,
            bytes: version.bytes.clone(),
        });
    }

    pub(super) fn sent(&mut self, hash: B256, outcome: Outcome, now: Instant) {
        let Some(&key) = self.hashes.get(&hash) else {
            return;
        };
        let Some(Item {
            phase: Phase::Sending(sending),
            versions,
            ..
        }) = self.items.get_mut(&key)
        else {
            return;
        };
        sending.in_flight = false;
        let current = versions.get(sending.current).map(|current| current.hash);
        match outcome {
            // The chain gets another version by now.
            _ if current != Some(hash) => self.send_at(key, now),
            Outcome::Taken => self.taken(key, hash, now),
            outcome => self.not_taken(key, hash, outcome, now),
        }
    }

    fn taken(&mut self, key: Key, hash: B256, now: Instant) {
        if let Some(item) = self.items.get_mut(&key)
            && let Phase::Sending(sending) = &mut item.phase
        {
            sending.taken = Some(now);
            sending.tries = 0;
            sending.refusals = 0;
            item.obstacle = sending.dearer_refused.as_ref().map(dearer_refused);
        }
        self.hasten_look(now);
        self.answer_begun(key, hash);
    }

    fn not_taken(&mut self, key: Key, hash: B256, outcome: Outcome, now: Instant) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        tracing::debug!(nonce = item.nonce, %hash, ?outcome, "the chain did not take a transaction");
        item.obstacle = obstacle(&outcome);
        match &outcome {
            Outcome::NonceTooLow | Outcome::FeeTooLow => self.hasten_look(now),
            Outcome::NonceTooHigh => self.send_those_before(key, now),
            Outcome::Unknown(error) => self.make_orphan(key, error),
            _ => {}
        }
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        match next_after(item, outcome) {
            Next::WithOtherNonce => self.take_other_nonce(key),
            Next::Cheaper(version, error) => {
                self.answer_begun(key, hash);
                self.fall_back(key, version, error, now);
            }
            Next::Never(error) => self.give_up(key, &error),
            Next::Empty(error) => {
                self.answer_begun(key, hash);
                self.refuse_for_good(key, &error, now);
            }
            Next::Again => {
                let (is_operation, tries) = (item.id.is_some(), tries(item));
                if is_operation {
                    // It is durable, and goes to the chain when that takes it.
                    self.answer_begun(key, hash);
                }
                self.send_at(key, now + FIRST_PAUSE * 2u32.pow(tries.min(MAX_DOUBLINGS)));
            }
        }
    }

    /// The chain may have a transaction of no operation, so it must not stand in
    /// the way of others.
    pub(super) fn make_orphan(&mut self, key: Key, error: &ChainError) {
        let Some(item) = self.items.get_mut(&key).filter(|item| item.id.is_none()) else {
            return;
        };
        item.is_orphan = true;
        for ticket in std::mem::take(&mut item.tickets) {
            self.answer(ticket, Answer::Begun(Err(error.clone())));
        }
    }

    /// The chain refuses a version that pays more. That says nothing of one that pays
    /// less, which it may have taken, perhaps before the process started: it gets
    /// that one again. Only a transaction of which it takes no version is given up.
    fn fall_back(&mut self, key: Key, version: usize, error: ChainError, now: Instant) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        let Phase::Sending(sending) = &mut item.phase else {
            return;
        };
        tracing::warn!(nonce = item.nonce, %error, "the chain refuses a transaction that pays more");
        item.obstacle = Some(dearer_refused(&error));
        sending.offer(version, now);
        sending.dearer_refused = Some(error);
        self.send_at(key, now);
    }

    /// Gives an operation up: from now on the chain gets nothing of it. A chain
    /// may have got it all the same, so an empty transaction has to use up its
    /// nonce before it counts as failed.
    fn refuse_for_good(&mut self, key: Key, error: &ChainError, now: Instant) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        let Some(newest) = item.versions.last() else {
            return;
        };
        let Phase::Sending(sending) = &mut item.phase else {
            return;
        };
        sending.is_barred = true;
        sending.dearer_refused = None;
        tracing::warn!(nonce = item.nonce, %error, "an operation that the chain refuses is given up");
        item.refused = Some(Refused {
            reason: error.to_string(),
            tx_hash: newest.hash,
            first_empty: item.versions.len(),
            is_over: false,
        });
        self.hasten_look(now);
    }

    /// Gives a transaction to the chain at this time.
    pub(super) fn send_at(&mut self, key: Key, at: Instant) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        let Phase::Sending(sending) = &mut item.phase else {
            return;
        };
        if let Some(earlier) = sending.next.replace(at) {
            self.agenda.remove(&(earlier, key));
        }
        self.agenda.insert((at, key));
    }

    fn answer_begun(&mut self, key: Key, hash: B256) {
        let tickets = self
            .items
            .get_mut(&key)
            .map(|item| std::mem::take(&mut item.tickets));
        for ticket in tickets.unwrap_or_default() {
            self.answer(ticket, Answer::Begun(Ok(hash)));
        }
    }

    /// The chain misses transactions before this one: it may have lost them.
    fn send_those_before(&mut self, key: Key, now: Instant) {
        let Some(nonce) = self.items.get(&key).map(|item| item.nonce) else {
            return;
        };
        let before: Vec<_> = self.nonces.range(..(nonce, 0)).map(|(_, key)| *key).collect();
        for key in before {
            if let Some(Phase::Sending(sending)) = self.items.get(&key).map(|item| &item.phase)
                && !sending.in_flight
                && sending
                    .taken
                    .is_some_and(|at| now.saturating_duration_since(at) >= FIRST_PAUSE)
            {
                self.send_at(key, now);
            }
        }
    }

    /// Another program's transaction has the nonce.
    pub(super) fn take_other_nonce(&mut self, key: Key) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        if let Phase::Sending(sending) = &item.phase
            && let Some(at) = sending.next
        {
            self.agenda.remove(&(at, key));
        }
        item.moves += 1;
        if item.id.is_none() && (item.is_orphan || item.moves > MAX_TRIES) {
            let refusal = "other programs use every nonce of the account";
            return self.give_up(key, &ChainError::Refused(refusal.to_owned()));
        }
        tracing::warn!(
            nonce = item.nonce,
            "another program has used a nonce of this account"
        );
        self.nonces.remove(&(item.nonce, key));
        item.least_nonce = item.nonce.saturating_add(1);
        item.taken_back = None;
        item.phase = Phase::Queued;
        if item.id.is_none() {
            // Its note bears the hash that it had with the old nonce.
            self.dirty.extend(item.note.take().map(|note| (note, None)));
        }
        self.queued.push_front(key);
    }
}

/// Counts what the chain said, and says what follows.
fn next_after(item: &mut Item, outcome: Outcome) -> Next {
    let (is_operation, is_given_up) = (item.id.is_some(), item.refused.is_some());
    let (is_orphan, was_replaced) = (item.is_orphan, item.versions.len() > 1);
    let cheaper = item.cheaper_version();
    let Phase::Sending(sending) = &mut item.phase else {
        return Next::Again;
    };
    let is_first_try = sending.taken.is_none() && sending.tries == 0 && !was_replaced && !is_orphan;
    count(sending, &outcome, was_replaced, is_operation);
    match is_operation {
        true => next_of_operation(sending, is_given_up, cheaper, outcome),
        false => next_of_anchor(sending, is_first_try, cheaper, outcome),
    }
}

/// An operation is in the journal, so it is tried until the chain refuses it for good.
fn next_of_operation(sending: &Sending, is_given_up: bool, cheaper: Option<usize>, outcome: Outcome) -> Next {
    // Not while a further version of it is being made, which the chain may take.
    let can_give_up = !is_given_up && !sending.is_replaced;
    match (refused_for_good(sending, outcome), cheaper) {
        (Some(error), Some(version)) if can_give_up => Next::Cheaper(version, error),
        (Some(error), None) if can_give_up => Next::Empty(error),
        _ => Next::Again,
    }
}

/// Whoever sends an anchor makes another one when this one fails, and nobody minds
/// if it is there twice: the contract takes one.
fn next_of_anchor(sending: &Sending, is_first_try: bool, cheaper: Option<usize>, outcome: Outcome) -> Next {
    match outcome {
        // The chain may have it.
        Outcome::Unknown(_) => Next::Again,
        Outcome::NonceTooLow | Outcome::NonceTaken if is_first_try => Next::WithOtherNonce,
        Outcome::Invalid(error) | Outcome::Refused(error) | Outcome::LackOfFunds(error) if is_first_try => {
            Next::Never(error)
        }
        outcome => match (refused_for_good(sending, outcome), cheaper) {
            (Some(error), Some(version)) if !sending.is_replaced => Next::Cheaper(version, error),
            (Some(error), _) => Next::Never(error),
            (None, _) if sending.taken.is_none() && sending.tries > MAX_TRIES => {
                let refusal = "the chain refuses every nonce and fee that it asks for";
                Next::Never(ChainError::Refused(refusal.to_owned()))
            }
            (None, _) => Next::Again,
        },
    }
}

/// Why the chain does not take this version, where it has said so often enough in a row.
fn refused_for_good(sending: &Sending, outcome: Outcome) -> Option<ChainError> {
    match outcome {
        Outcome::Invalid(error) if sending.refusals >= MAX_INVALID => Some(error),
        Outcome::Refused(error) if sending.refusals >= MAX_REFUSALS => Some(error),
        // And it does not take the one that pays more.
        Outcome::FeeTooLow if sending.refusals >= MAX_REFUSALS => sending.dearer_refused.clone(),
        _ => None,
    }
}

fn count(sending: &mut Sending, outcome: &Outcome, was_replaced: bool, is_operation: bool) {
    match outcome {
        Outcome::Invalid(_) | Outcome::Refused(_) => sending.refusals += 1,
        Outcome::FeeTooLow if sending.dearer_refused.is_some() => sending.refusals += 1,
        // The chain has said nothing.
        Outcome::Unknown(_) => {}
        _ => sending.refusals = 0,
    }
    if is_operation || !matches!(outcome, Outcome::Unknown(_)) {
        sending.tries += 1;
    }
    sending.too_cheap |= *outcome == Outcome::FeeTooLow;
    sending.is_outbid |= *outcome == Outcome::NonceTaken && was_replaced;
}

fn dearer_refused(error: &ChainError) -> Obstacle {
    Obstacle::DearerRefused(error.to_string())
}

fn obstacle(outcome: &Outcome) -> Option<Obstacle> {
    Some(match outcome {
        Outcome::Taken => return None,
        Outcome::LackOfFunds(error) => Obstacle::LackOfFunds(error.to_string()),
        Outcome::Invalid(error) | Outcome::Refused(error) => Obstacle::Refused(error.to_string()),
        Outcome::Unknown(error) => Obstacle::Unreachable(error.to_string()),
        Outcome::NonceTooLow | Outcome::NonceTaken => Obstacle::NonceHeld,
        Outcome::FeeTooLow => Obstacle::Waits("it pays too little for its gas"),
        Outcome::NoRoom => Obstacle::Waits("the chain has no room for it now"),
        Outcome::NonceTooHigh => Obstacle::Waits("the chain misses transactions before it"),
    })
}

fn tries(item: &Item) -> u32 {
    match &item.phase {
        Phase::Sending(sending) => sending.tries,
        _ => 0,
    }
}
