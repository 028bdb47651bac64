//! Looks at the chain: what is mined, final, lost, or taken back.

use std::{collections::HashMap, time::Duration};

use alloy::primitives::B256;
use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{
    Action, Key, LookFor, Mined, Queue, Sending, Sight,
    item::{Item, Phase},
};

/// Pause before the first look after something changed; each further one is
/// twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// Looks are rarer by this factor where only reorganisations are waited for.
const CALM: u32 = 16;
/// A transaction that the chain does not count after this time is given to it
/// again; each further time it takes twice as long.
const RESEND_AFTER: Duration = Duration::from_secs(3);
/// How often that time is doubled at most.
const MAX_DOUBLINGS: u32 = 4;
/// Most transactions that are given to the chain again after one look.
const MAX_RESENDS: usize = 64;
/// How often in a row a counted nonce must have no receipt before somebody else used it.
const MAX_ABSENT: u32 = 3;
/// A nonce that is missing for so long is filled.
const GAP_AFTER: Duration = Duration::from_secs(5);
/// No mempool holds more of one account; who says so makes no sense.
const MAX_PENDING: u64 = 1 << 20;

/// What is known of the chain, and when it is looked at next.
pub(super) struct Watch {
    /// Number of looks that were begun.
    round: u64,
    is_running: bool,
    /// What the look under way is for.
    asked: LookFor,
    /// The block that shows whether the chain is still the same one.
    mark: Option<(u64, B256)>,
    next: Instant,
    pause: Duration,
    /// The last look failed: the next one waits, whoever wants it.
    has_failed: bool,
    height: u64,
    count: u64,
    count_at: Option<u64>,
    /// Behind the nonces of those that are final.
    floor: u64,
    gap_since: Option<Instant>,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            round: 0,
            is_running: false,
            asked: LookFor::default(),
            mark: None,
            next: now,
            pause: FIRST_PAUSE,
            has_failed: false,
            height: 0,
            count: 0,
            count_at: None,
            floor: 0,
            gap_since: None,
        }
    }

    /// Transactions of the account that were mined at the last look.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Number of the look that was begun last.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// A transaction with this nonce is final.
    pub(super) fn raise_floor(&mut self, nonce: u64) {
        self.floor = self.floor.max(nonce.saturating_add(1));
    }
}

impl Queue {
    /// Something changed that a look will show.
    pub(super) fn hasten_look(&mut self, now: Instant) {
        self.watch.pause = FIRST_PAUSE;
        self.watch.next = self.watch.next.min(now + FIRST_PAUSE);
    }

    /// When a look is due; `None` where there is nothing to look for, or one is under way.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let is_needed = self.wants_look() || !self.nonces.is_empty();
        (is_needed && !self.watch.is_running).then_some(self.watch.next)
    }

    /// Whether somebody waits for a look.
    fn wants_look(&self) -> bool {
        self.wants_nonces() || self.asks_need_look()
    }

    fn wants_nonces(&self) -> bool {
        !self.queued.is_empty() && self.stage.is_idle()
    }

    pub(super) fn look_if_due(&mut self, now: Instant) {
        let is_at_once = self.wants_look() && !self.watch.has_failed;
        let is_due = is_at_once || self.next_look().is_some_and(|at| at <= now);
        if self.watch.is_running || !is_due {
            return;
        }
        let wants_nonces = self.wants_nonces();
        self.watch.mark = self.newest_mined();
        let sending = || self.nonces.iter().filter_map(|(_, key)| self.sending(*key));
        let wants_price = sending().any(|sending| {
            sending.too_cheap || now.saturating_duration_since(sending.priced) >= self.settings.replace_after
        });
        let has_doubts = sending().any(|sending| sending.absent > 0);
        let look = LookFor {
            block: self.watch.mark.map(|(number, _)| number),
            count_at: has_doubts.then(|| self.watch.height.saturating_sub(self.settings.confirmations)),
            price: (wants_nonces || wants_price) && self.stage.is_idle(),
            balance: wants_nonces,
        };
        self.watch.round += 1;
        self.watch.is_running = true;
        self.watch.asked = look;
        self.actions.push(Action::Look(look));
    }

    pub(super) fn looked(&mut self, result: Result<Sight, ChainError>, now: Instant) {
        let sight = match result {
            Ok(sight) if sight.pending <= sight.count.saturating_add(MAX_PENDING) => sight,
            Ok(_) => {
                return self.look_failed(
                    &ChainError::Unavailable("its answer makes no sense".to_owned()),
                    now,
                );
            }
            Err(error) => return self.look_failed(&error, now),
        };
        let has_advanced = sight.count > self.watch.count;
        self.watch.has_failed = false;
        self.watch.height = sight.height;
        self.watch.count = sight.count;
        self.watch.count_at = sight.count_at.filter(|_| self.watch.asked.count_at.is_some());
        let is_same_chain = self.watch.mark.map(|(number, hash)| match sight.block {
            Some(found) => found == hash,
            // A node that lags says nothing of that block.
            None => sight.height < number,
        });
        if self.watch.mark.is_some_and(|(_, hash)| sight.block == Some(hash)) {
            self.finish_old(sight.height);
        }
        let is_reorganised = is_same_chain == Some(false);
        let wanted = self.in_doubt(sight.count, is_reorganised);
        self.resend(&sight, has_advanced, now);
        if !is_reorganised {
            // Else it is not known which nonces are in use.
            self.assign(&sight, now);
        }
        self.note_gap(&sight, now);
        match wanted.is_empty() {
            true => self.end_round(now),
            false => self.actions.push(Action::Fetch(wanted)),
        }
    }

    fn look_failed(&mut self, error: &ChainError, now: Instant) {
        self.refuse_queued(error);
        self.watch.has_failed = true;
        self.end_round(now);
    }

    fn end_round(&mut self, now: Instant) {
        let is_calm = self.nonces.iter().all(|(_, key)| self.sending(*key).is_none());
        let longest = self.settings.poll_interval * if is_calm { CALM } else { 1 };
        self.watch.is_running = false;
        self.watch.next = now + self.watch.pause;
        self.watch.pause = (self.watch.pause * 2).min(longest);
        self.answer_asks();
    }

    /// Receipts to ask for: of what the chain counts, and where the chain
    /// was reorganised, of all that was mined.
    fn in_doubt(&self, count: u64, is_reorganised: bool) -> Vec<(B256, super::Gain)> {
        let items = self
            .nonces
            .iter()
            .filter_map(|(nonce, key)| Some((*nonce, self.items.get(key)?)));
        let doubted = items.filter(|(nonce, item)| match item.phase {
            Phase::Sending(_) => *nonce < count,
            Phase::Mined(_) => is_reorganised,
            _ => false,
        });
        doubted
            .flat_map(|(_, item)| {
                item.versions
                    .iter()
                    .map(|version| (version.hash, item.draft.gain))
            })
            .collect()
    }

    pub(super) fn fetched(&mut self, receipts: Vec<(B256, Option<Mined>)>, now: Instant) {
        let receipts: HashMap<_, _> = receipts.into_iter().collect();
        let keys: Vec<_> = self.nonces.iter().map(|(_, key)| *key).collect();
        for key in keys {
            if let Some(item) = self.items.get(&key) {
                match verdict(item, &receipts) {
                    Verdict::Mined(mined) => self.is_mined(key, mined),
                    Verdict::Absent => self.is_absent(key, now),
                    Verdict::Unknown => {}
                }
            }
        }
        self.end_round(now);
    }

    fn is_mined(&mut self, key: Key, mined: Mined) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        if let Phase::Sending(Sending { next: Some(at), .. }) = &item.phase {
            self.agenda.remove(&(*at, key));
        }
        item.phase = Phase::Mined(mined);
        for ticket in std::mem::take(&mut item.tickets) {
            self.actions
                .push(Action::Answer(ticket, super::Answer::Begun(Ok(mined.hash))));
        }
        // Whoever sent an anchor looks after it from now on.
        item.is_orphan = item.id.is_none();
        if self.settings.confirmations == 0 {
            self.is_final(key, mined);
        }
    }

    fn is_absent(&mut self, key: Key, now: Instant) {
        let (count, count_at) = (self.watch.count, self.watch.count_at);
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        match &mut item.phase {
            Phase::Mined(mined) => {
                let hash = mined.hash;
                tracing::warn!(%hash, "a reorganisation took a transaction back");
                let current = item.versions.iter().position(|version| version.hash == hash);
                let mut sending = Sending::new(current.unwrap_or_default(), now);
                if item.is_orphan {
                    // Whoever sent it may want its nonce for the next one.
                    sending.next = None;
                    sending.taken = Some(now);
                }
                self.agenda.extend(sending.next.map(|at| (at, key)));
                item.phase = Phase::Sending(sending);
            }
            Phase::Sending(sending) if item.nonce < count => {
                sending.absent += 1;
                // Nothing rests on an anchor's nonce; an operation's must be lost for good.
                let is_lost = item.id.is_none() || count_at.is_some_and(|count| item.nonce < count);
                if sending.absent >= MAX_ABSENT && is_lost {
                    self.take_other_nonce(key);
                }
            }
            _ => {}
        }
    }

    /// What has enough blocks on top is final.
    fn finish_old(&mut self, height: u64) {
        let confirmations = self.settings.confirmations;
        let old: Vec<_> = self
            .nonces
            .iter()
            .filter_map(|(_, key)| match self.items.get(key)?.phase {
                Phase::Mined(mined) => Some((*key, mined)),
                _ => None,
            })
            .filter(|(_, mined)| height >= mined.block.saturating_add(confirmations))
            .collect();
        for (key, mined) in old {
            self.is_final(key, mined);
        }
    }

    fn is_final(&mut self, key: Key, mined: Mined) {
        let Some(item) = self.items.get_mut(&key) else {
            return;
        };
        item.phase = Phase::Final(mined);
        self.watch.raise_floor(item.nonce);
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

    /// Gives to the chain again what it does not have (any more).
    fn resend(&mut self, sight: &Sight, has_advanced: bool, now: Instant) {
        let end = sight.count.saturating_add(self.settings.max_unmined);
        let mut lost = 0;
        let waiting: Vec<_> = self
            .nonces
            .range((sight.count, 0)..(end, 0))
            .map(|(_, key)| *key)
            .collect();
        for key in waiting {
            let Some(item) = self.items.get_mut(&key) else {
                continue;
            };
            let Phase::Sending(sending) = &mut item.phase else {
                continue;
            };
            sending.absent = 0;
            if sending.in_flight {
                continue;
            }
            let is_due = match sending.taken {
                // The mempool may have room for it now.
                None => sending.next.is_none() || (has_advanced && sending.tries > 0),
                Some(at) if item.nonce >= sight.pending && lost < MAX_RESENDS => {
                    let patience = RESEND_AFTER * 2u32.pow(sending.resends.min(MAX_DOUBLINGS));
                    let is_lost = now.saturating_duration_since(at) >= patience;
                    sending.resends += u32::from(is_lost);
                    lost += usize::from(is_lost);
                    is_lost
                }
                Some(_) => false,
            };
            if is_due {
                self.send_at(key, now);
            }
        }
    }

    /// Sees whether own transactions wait for one that is missing.
    fn note_gap(&mut self, sight: &Sight, now: Instant) {
        let mut expected = sight.count.max(sight.pending);
        let mut is_gap = false;
        for (nonce, _) in self.nonces.range((expected, 0)..) {
            is_gap = *nonce > expected;
            if is_gap {
                break;
            }
            expected = nonce.saturating_add(1);
        }
        let is_idle = self.queued.is_empty() && self.stage.is_idle();
        match self.watch.gap_since {
            _ if !is_gap || !is_idle => self.watch.gap_since = None,
            None => self.watch.gap_since = Some(now),
            Some(since) if now.saturating_duration_since(since) >= GAP_AFTER => {
                self.watch.gap_since = Some(now);
                self.actions.push(Action::FillGap);
            }
            Some(_) => {}
        }
    }

    /// The newest block that has one of the own transactions that are not final.
    fn newest_mined(&self) -> Option<(u64, B256)> {
        let items = self.nonces.iter().filter_map(|(_, key)| self.items.get(key));
        let blocks = items.filter_map(|item| match item.phase {
            Phase::Mined(mined) => Some((mined.block, mined.block_hash)),
            _ => None,
        });
        blocks.max()
    }

    fn sending(&self, key: Key) -> Option<&Sending> {
        match &self.items.get(&key)?.phase {
            Phase::Sending(sending) => Some(sending),
            _ => None,
        }
    }
}

/// What the receipts say of a transaction.
enum Verdict {
    /// A block has one of its versions.
    Mined(Mined),
    /// No block has any.
    Absent,
    /// Not all could be asked for.
    Unknown,
}

fn verdict(item: &Item, receipts: &HashMap<B256, Option<Mined>>) -> Verdict {
    let found: Vec<_> = item
        .versions
        .iter()
        .map(|version| receipts.get(&version.hash))
        .collect();
    match found.iter().copied().flatten().flatten().next() {
        Some(mined) => Verdict::Mined(*mined),
        None if found.is_empty() || found.contains(&None) => Verdict::Unknown,
        None => Verdict::Absent,
    }
}
