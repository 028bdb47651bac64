//! What follows from what the chain says when it gets a transaction.

use std::time::Duration;

use alloy::primitives::B256;
use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{
    Key, Outcome, Subject,
    item::{Item, Obstacle, Phase, Sending},
    items::Items,
    ledger::Ledger,
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

/// Takes note of what became of sending; whether a look would show something new.
pub(super) fn sent(ledger: &mut Ledger, hash: B256, outcome: Outcome, now: Instant) -> bool {
    let Some(key) = ledger.items.find(Subject::Hash(hash)) else {
        return false;
    };
    let Some(Item {
        phase: Phase::Sending(sending),
        versions,
        ..
    }) = ledger.items.get_mut(key)
    else {
        return false;
    };
    sending.in_flight = false;
    let current = versions.get(sending.current).map(|current| current.hash);
    match outcome {
        // The chain gets another version by now.
        _ if current != Some(hash) => {
            ledger.items.send_at(key, now);
            false
        }
        Outcome::Taken => {
            taken(ledger, key, hash, now);
            true
        }
        outcome => not_taken(ledger, key, hash, outcome, now),
    }
}

fn taken(ledger: &mut Ledger, key: Key, hash: B256, now: Instant) {
    if let Some(item) = ledger.items.get_mut(key)
        && let Phase::Sending(sending) = &mut item.phase
    {
        sending.taken = Some(now);
        sending.tries = 0;
        sending.refusals = 0;
        item.obstacle = sending.dearer_refused.as_ref().map(dearer_refused);
    }
    ledger.answer_begun(key, &Ok(hash));
}

/// The chain has not taken a transaction; whether a look would show something new.
fn not_taken(ledger: &mut Ledger, key: Key, hash: B256, outcome: Outcome, now: Instant) -> bool {
    let Some(item) = ledger.items.get_mut(key) else {
        return false;
    };
    tracing::debug!(nonce = item.nonce, %hash, ?outcome, "the chain did not take a transaction");
    item.obstacle = obstacle(&outcome);
    let mut is_news = matches!(outcome, Outcome::NonceTooLow | Outcome::FeeTooLow);
    match &outcome {
        Outcome::NonceTooHigh => send_those_before(&mut ledger.items, key, now),
        Outcome::Unknown(error) => ledger.make_orphan(key, error),
        _ => {}
    }
    let Some(item) = ledger.items.get_mut(key) else {
        return is_news;
    };
    match next_after(item, outcome) {
        Next::WithOtherNonce => ledger.take_other_nonce(key),
        Next::Cheaper(version, error) => {
            ledger.answer_begun(key, &Ok(hash));
            fall_back(&mut ledger.items, key, version, error, now);
        }
        Next::Never(error) => {
            ledger.meter.refused.increment();
            ledger.give_up(key, &error);
        }
        Next::Empty(error) => {
            ledger.answer_begun(key, &Ok(hash));
            let is_given_up = refuse_for_good(&mut ledger.items, key, &error);
            ledger.meter.refused.add(u64::from(is_given_up));
            is_news |= is_given_up;
        }
        Next::Again => {
            let (is_operation, tries) = (item.id.is_some(), tries(item));
            if is_operation {
                // It is durable, and goes to the chain when that takes it.
                ledger.answer_begun(key, &Ok(hash));
            }
            let pause = FIRST_PAUSE * 2u32.pow(tries.min(MAX_DOUBLINGS));
            ledger.items.send_at(key, now + pause);
        }
    }
    is_news
}

/// The chain refuses a version that pays more. That says nothing of one that pays
/// less, which it may have taken, perhaps before the process started: it gets
/// that one again. Only a transaction of which it takes no version is given up.
fn fall_back(items: &mut Items, key: Key, version: usize, error: ChainError, now: Instant) {
    let Some(item) = items.get_mut(key) else {
        return;
    };
    let Phase::Sending(sending) = &mut item.phase else {
        return;
    };
    tracing::warn!(nonce = item.nonce, %error, "the chain refuses a transaction that pays more");
    item.obstacle = Some(dearer_refused(&error));
    sending.offer(version, now);
    sending.dearer_refused = Some(error);
    items.send_at(key, now);
}

/// Gives an operation up: from now on the chain gets nothing of it. A chain
/// may have got it all the same, so an empty transaction has to use up its
/// nonce before it counts as failed. Whether there was something to give up.
fn refuse_for_good(items: &mut Items, key: Key, error: &ChainError) -> bool {
    let Some(item) = items.get_mut(key) else {
        return false;
    };
    let (Some(newest), Phase::Sending(sending)) = (item.versions.last(), &mut item.phase) else {
        return false;
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
    true
}

/// The chain misses transactions before this one: it may have lost them.
fn send_those_before(items: &mut Items, key: Key, now: Instant) {
    let Some(nonce) = items.get(key).map(|item| item.nonce) else {
        return;
    };
    let before: Vec<_> = items.nonces().bearers(0..nonce).collect();
    for key in before {
        if let Some(sending) = items.sending(key)
            && !sending.in_flight
            && sending
                .taken
                .is_some_and(|at| now.saturating_duration_since(at) >= FIRST_PAUSE)
        {
            items.send_at(key, now);
        }
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
