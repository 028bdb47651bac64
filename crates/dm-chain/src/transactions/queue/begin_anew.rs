//! A chain that began anew, such as a development node that was restarted empty.
//!
//! Nonces and blocks of the chain that is gone mean nothing on the new one. What
//! a block of the old one had is not done again by itself: whoever is owed it
//! decides. What no block was seen to have goes on with its nonce, so that it
//! happens at most once here, too. Nobody waits for other transactions any longer:
//! whoever sent an anchor sends another one.

use dm_core::ports::ChainError;

use super::{Key, item::Phase, ledger::Ledger};
use crate::transactions::journal::Mined;

/// Takes the account's transactions over to the chain that stands in the place of the
/// one before.
pub(super) fn carry_over(ledger: &mut Ledger) {
    let news = ChainError::Unavailable("it has begun anew".to_owned());
    ledger.items.forget_floor();
    ledger.refuse_queued(&news);
    for key in ledger.items.keys() {
        match ledger.items.get(key).is_some_and(|item| item.id.is_some()) {
            true => carry_over_operation(ledger, key),
            false => carry_over_anchor(ledger, key, &news),
        }
    }
}

fn carry_over_operation(ledger: &mut Ledger, key: Key) {
    let Some(item) = ledger.items.get_mut(key) else {
        return;
    };
    match &mut item.phase {
        Phase::Mined(mined) => {
            let mined = *mined;
            conclude_on_lost_chain(ledger, key, mined);
        }
        Phase::Sending(sending) => {
            sending.absent = 0;
            if let Some(mined) = item.taken_back {
                conclude_on_lost_chain(ledger, key, mined);
            }
        }
        Phase::Final(_) | Phase::Refused => {
            item.is_of_lost_chain = true;
            ledger.note(key);
        }
        Phase::Queued | Phase::Staged => {}
    }
}

/// Nobody needs a transaction of no operation any more. But one on its way may
/// have got into the mempool of the new chain, and must not stay there below the
/// price: its nonce is known until another one has it.
fn carry_over_anchor(ledger: &mut Ledger, key: Key, news: &ChainError) {
    match ledger.items.sending(key) {
        Some(_) => ledger.make_orphan(key, news),
        None => ledger.give_up(key, news),
    }
}

fn conclude_on_lost_chain(ledger: &mut Ledger, key: Key, mined: Mined) {
    if let Some(item) = ledger.items.get_mut(key) {
        item.is_of_lost_chain = true;
    }
    ledger.conclude(key, mined);
}
