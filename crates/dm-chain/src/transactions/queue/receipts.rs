//! What receipts show: which transactions are mined, which of them are final,
//! which were taken back, and which nonces somebody else has used.

use std::collections::HashMap;

use alloy::primitives::B256;
use tokio::time::Instant;

use super::{
    Action, Answer, ChainSnapshot, Key, Queue, Sending,
    item::{Item, Phase},
};
use crate::{transactions::journal::Mined, tx::ExpectedTransfer};

/// How often in a row a counted nonce must have no receipt before somebody else used it.
const MAX_ABSENT: u32 = 3;

impl Queue {
    /// The chain was reorganised: what was seen of mined transactions counts no
    /// more until their receipts are seen again.
    pub(super) fn doubt_receipts(&mut self) {
        for (_, key) in &self.nonces {
            if let Some(item) = self.items.get_mut(key) {
                item.is_doubted = matches!(item.phase, Phase::Mined(_));
            }
        }
    }

    /// The chain is the same one, and does not count what a block had: it has taken
    /// that back. Where it counts the nonce, the receipts tell; and a head below the
    /// block tells nothing.
    pub(super) fn confirm_taken_back(&mut self, snapshot: &ChainSnapshot) {
        // A note that is being made of a further version must not be overtaken.
        if !self.stage.is_idle() {
            return;
        }
        for (nonce, key) in &self.nonces {
            let Some(item) = self.items.get_mut(key) else {
                continue;
            };
            let is_uncounted = |mined: &mut Mined| mined.block <= snapshot.height && *nonce >= snapshot.count;
            if item.taken_back.take_if(is_uncounted).is_some() {
                let entry = item.entry();
                self.dirty.extend(item.note.map(|note| (note, Some(entry))));
            }
        }
    }

    /// Receipts to ask for: of what the chain counts, of what a reorganisation
    /// may have taken back, and of what is old enough to be final.
    pub(super) fn in_doubt(&self) -> Vec<(B256, ExpectedTransfer)> {
        let count = self.watch.count();
        let items = self
            .nonces
            .iter()
            .filter_map(|(nonce, key)| Some((*nonce, self.items.get(key)?)));
        let doubted = items.filter(|(nonce, item)| match &item.phase {
            Phase::Sending(_) => *nonce < count,
            Phase::Mined(mined) => item.is_doubted || self.is_old(mined),
            _ => false,
        });
        doubted
            .flat_map(|(_, item)| {
                item.versions
                    .iter()
                    .map(|version| (version.hash, item.draft.transfer))
            })
            .collect()
    }

    /// Whether enough blocks were on top of a transaction at the last look.
    fn is_old(&self, mined: &Mined) -> bool {
        self.watch.height() >= mined.block.saturating_add(self.config.confirmations)
    }

    pub(super) fn fetched(&mut self, receipts: Vec<(B256, Option<Mined>)>, now: Instant) {
        let receipts: HashMap<_, _> = receipts.into_iter().collect();
        let keys: Vec<_> = self.nonces.iter().map(|(_, key)| *key).collect();
        for key in keys {
            if let Some(item) = self.items.get(&key) {
                match evidence(item, &receipts) {
                    Evidence::Mined(mined) => self.note_mined(key, mined),
                    Evidence::Absent => self.note_absent(key, now),
                    Evidence::Unknown => {}
                }
            }
        }
        self.end_round(now);
    }

    fn note_mined(&mut self, key: Key, mined: Mined) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        if let Phase::Sending(Sending { next: Some(at), .. }) = &item.phase {
            self.agenda.remove(&(*at, key));
        }
        let is_news = !matches!(item.phase, Phase::Mined(known) if known == mined);
        item.phase = Phase::Mined(mined);
        item.is_doubted = false;
        item.taken_back = None;
        item.obstacle = None;
        // Whoever sent an anchor looks after it from now on.
        item.is_orphan = item.id.is_none();
        for ticket in std::mem::take(&mut item.tickets) {
            self.actions
                .push(Action::Answer(ticket, Answer::Begun(Ok(mined.hash))));
        }
        // This receipt was seen when the block was deep enough: an earlier one may
        // be of a block that is gone.
        if self.is_old(&mined) {
            return self.finish(key, mined);
        }
        if is_news {
            self.note_seen(key);
        }
    }

    /// Lets the journal know that a block has an operation: should the chain begin
    /// anew, it is not done again.
    fn note_seen(&mut self, key: Key) {
        if let Some(item) = self.items.get(&key).filter(|item| item.id.is_some()) {
            let entry = item.entry();
            self.dirty.extend(item.note.map(|note| (note, Some(entry))));
        }
    }

    fn note_absent(&mut self, key: Key, now: Instant) {
        let (count, final_count) = (self.watch.count(), self.watch.final_count());
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        match &mut item.phase {
            Phase::Mined(mined) => {
                let mined = *mined;
                tracing::warn!(hash = %mined.hash, "a reorganisation took a transaction back");
                self.take_back(key, mined, now);
            }
            Phase::Sending(sending) if item.nonce < count => {
                sending.absent += 1;
                // Nothing rests on an anchor's nonce; an operation's must be lost for good.
                let is_lost = item.id.is_none() || final_count.is_some_and(|count| item.nonce < count);
                if sending.absent >= MAX_ABSENT && is_lost {
                    self.lose_nonce(key);
                }
            }
            _ => {}
        }
    }

    /// No block has this any more.
    fn take_back(&mut self, key: Key, mined: Mined, now: Instant) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        let current = item
            .versions
            .iter()
            .position(|version| version.hash == mined.hash);
        let current = current.unwrap_or_default();
        let mut sending = Sending::again(current, &item.versions, item.refused.as_ref(), now);
        if item.is_orphan {
            // Whoever sent it may want its nonce for the next one.
            sending.next = None;
            sending.taken = Some(now);
        }
        item.is_doubted = false;
        item.taken_back = Some(mined);
        // Perhaps the whole chain is gone: the next look tells.
        self.watch.hold_sends();
        self.agenda.extend(sending.next.map(|at| (at, key)));
        item.phase = Phase::Sending(sending);
    }

    /// Another program's transaction has used up the nonce for good.
    fn lose_nonce(&mut self, key: Key) {
        match self.items.get(&key).is_some_and(|item| item.refused.is_some()) {
            // That is as good as an empty one of the own.
            true => self.finish_refused(key),
            false => self.take_other_nonce(key),
        }
    }

    /// Nothing can take it back any more.
    fn finish(&mut self, key: Key, mined: Mined) {
        self.identity.note_final(mined.block, mined.block_hash);
        self.conclude(key, mined);
    }

    /// What came of a transaction stays as it is.
    pub(super) fn conclude(&mut self, key: Key, mined: Mined) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        if item.is_empty_version(mined.hash) {
            return self.finish_refused(key);
        }
        item.refused = None;
        self.end(key, Phase::Final(mined));
    }

    /// Nothing of an operation that was given up can be mined any more.
    fn finish_refused(&mut self, key: Key) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        if let Some(refused) = &mut item.refused {
            refused.is_over = true;
        }
        self.end(key, Phase::Refused);
    }

    /// Keeps of a transaction only what came of it; and nothing, where nobody asks.
    fn end(&mut self, key: Key, phase: Phase) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        if let Phase::Sending(Sending { next: Some(at), .. }) = std::mem::replace(&mut item.phase, phase) {
            self.agenda.remove(&(at, key));
        }
        if !item.is_of_lost_chain {
            self.watch.raise_floor(item.nonce);
        }
        if item.id.is_none() {
            return self.forget(key);
        }
        let entry = item.entry();
        self.nonces.remove(&(item.nonce, key));
        item.past
            .extend(item.versions.drain(..).map(|version| version.hash));
        item.draft.call.input = Default::default();
        self.dirty.extend(item.note.map(|note| (note, Some(entry))));
    }
}

/// What the receipts say of a transaction.
enum Evidence {
    /// A block has one of its versions.
    Mined(Mined),
    /// No block has any.
    Absent,
    /// Not all could be asked for.
    Unknown,
}

fn evidence(item: &Item, receipts: &HashMap<B256, Option<Mined>>) -> Evidence {
    let found: Vec<_> = item
        .versions
        .iter()
        .map(|version| receipts.get(&version.hash))
        .collect();
    match found.iter().copied().flatten().flatten().next() {
        Some(mined) => Evidence::Mined(*mined),
        None if found.is_empty() || found.contains(&None) => Evidence::Unknown,
        None => Evidence::Absent,
    }
}
