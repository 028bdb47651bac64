//! A chain that began anew, such as a development node that was restarted empty.
//!
//! Nonces and blocks of the chain that is gone mean nothing on the new one. What
//! a block of the old one had is not done again by itself: whoever is owed it
//! decides. What no block was seen to have goes on with its nonce, so that it
//! happens at most once here, too. Nobody waits for other transactions any longer:
//! whoever sent an anchor sends another one.

use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{ChainSnapshot, Key, Queue, item::Phase};
use crate::transactions::journal::Mined;

impl Queue {
    /// Follows the chain that stands in the place of the one before.
    pub(super) fn begin_anew(&mut self, landmark: Option<u64>, snapshot: &ChainSnapshot, now: Instant) {
        // What is being signed and noted must not fall between the two.
        if self.stage.is_idle() {
            tracing::warn!(
                height = snapshot.height,
                "the chain has begun anew; the transactions of this account go on there"
            );
            self.identity.begin_anew(landmark, snapshot.landmark);
            self.watch.forget_chain();
            let news = ChainError::Unavailable("it has begun anew".to_owned());
            self.refuse_queued(&news);
            let keys: Vec<_> = self.items.keys().copied().collect();
            for key in keys {
                self.carry_over(key, &news);
            }
        }
        self.hasten_look(now);
        self.end_round(now);
    }

    fn carry_over(&mut self, key: Key, news: &ChainError) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        if item.id.is_none() {
            return self.carry_over_anchor(key, news);
        }
        match &mut item.phase {
            Phase::Mined(mined) => {
                let mined = *mined;
                self.conclude_on_lost_chain(key, mined);
            }
            Phase::Sending(sending) => {
                sending.absent = 0;
                if let Some(mined) = item.taken_back {
                    self.conclude_on_lost_chain(key, mined);
                }
            }
            Phase::Final(_) | Phase::Refused => {
                item.is_of_lost_chain = true;
                let entry = item.entry();
                self.dirty.extend(item.note.map(|note| (note, Some(entry))));
            }
            Phase::Queued | Phase::Staged => {}
        }
    }

    /// Nobody needs a transaction of no operation any more. But one on its way may
    /// have got into the mempool of the new chain, and must not stay there below the
    /// price: its nonce is known until another one has it.
    fn carry_over_anchor(&mut self, key: Key, news: &ChainError) {
        let is_on_its_way = self.sending(key).is_some();
        match is_on_its_way {
            true => self.make_orphan(key, news),
            false => self.give_up(key, news),
        }
    }

    fn conclude_on_lost_chain(&mut self, key: Key, mined: Mined) {
        if let Some(item) = self.items.get_mut(&key) {
            item.is_of_lost_chain = true;
        }
        self.conclude(key, mined);
    }
}
