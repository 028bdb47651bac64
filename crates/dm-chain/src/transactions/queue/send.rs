//! Giving transactions to the chain, and what it says then.

use std::time::Duration;

use alloy::primitives::B256;
use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{Action, Answer, Key, Outcome, Queue, item::Phase};

/// Pause before a transaction is given to the chain again that it did not take;
/// each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How often the pause is doubled at most.
const MAX_DOUBLINGS: u32 = 6;
/// How often a transaction without operation is tried before it is given up.
const MAX_TRIES: u32 = 12;

impl Queue {
    /// Gives the chain what it shall have by now.
    pub(super) fn send_due(&mut self, now: Instant) {
        while let Some((at, key)) = self.agenda.first().copied().filter(|(at, _)| *at <= now) {
            self.agenda.remove(&(at, key));
            let end = self.watch.count().saturating_add(self.settings.max_unmined);
            let Some(item) = self.items.get_mut(&key) else {
                continue;
            };
            let Phase::Sending(sending) = &mut item.phase else {
                continue;
            };
            sending.next = None;
            // What does not fit into the mempool yet goes out when others are mined.
            if sending.in_flight || item.nonce >= end {
                continue;
            }
            let Some(version) = item.versions.get(sending.current) else {
                continue;
            };
            sending.in_flight = true;
            self.actions.push(Action::Send {
                hash: version.hash,
                bytes: version.bytes.clone(),
            });
        }
    }

    pub(super) fn sent(&mut self, hash: B256, outcome: Outcome, now: Instant) {
        let Some(&key) = self.hashes.get(&hash) else {
            return;
        };
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        let is_operation = item.id.is_some();
        let was_replaced = item.versions.len() > 1;
        let Phase::Sending(sending) = &mut item.phase else {
            return;
        };
        sending.in_flight = false;
        if item
            .versions
            .get(sending.current)
            .is_none_or(|current| current.hash != hash)
        {
            // One that pays more has come up in the meantime.
            self.send_at(key, now);
            return;
        }
        let is_new = sending.taken.is_none();
        let is_first_try = is_new && sending.tries == 0 && !was_replaced && !item.is_orphan;
        if outcome == Outcome::Taken {
            sending.taken = Some(now);
            sending.tries = 0;
            self.hasten_look(now);
            return self.answer_begun(key, hash);
        }
        tracing::debug!(nonce = item.nonce, %hash, ?outcome, "the chain did not take a transaction");
        sending.tries += 1;
        let tries = sending.tries;
        match outcome {
            // Nobody minds if an anchor is there twice: the contract takes one.
            Outcome::NonceTooLow | Outcome::NonceTaken if !is_operation && is_first_try => {
                return self.take_other_nonce(key);
            }
            Outcome::NonceTooLow => self.hasten_look(now),
            Outcome::NonceTaken if was_replaced => sending.too_cheap = true,
            Outcome::FeeTooLow => {
                sending.too_cheap = true;
                self.hasten_look(now);
            }
            Outcome::NonceTooHigh => self.send_those_before(key, now),
            Outcome::Refused(error) | Outcome::LackOfFunds(error) if !is_operation && is_first_try => {
                return self.give_up(key, &error);
            }
            Outcome::Unknown(error) if !is_operation => {
                // The chain may have it, so it must not stand in the way of others.
                item.is_orphan = true;
                for ticket in std::mem::take(&mut item.tickets) {
                    self.actions
                        .push(Action::Answer(ticket, Answer::Begun(Err(error.clone()))));
                }
                sending.tries -= 1;
            }
            _ => {}
        }
        if is_operation {
            // It is durable, and goes to the chain when that takes it.
            self.answer_begun(key, hash);
        } else if is_new && tries > MAX_TRIES {
            let refusal = "the chain refuses every nonce and fee that it asks for";
            return self.give_up(key, &ChainError::Refused(refusal.to_owned()));
        }
        self.send_at(key, now + FIRST_PAUSE * 2u32.pow(tries.min(MAX_DOUBLINGS)));
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
        item.phase = Phase::Queued;
        self.queued.push_front(key);
    }
}
