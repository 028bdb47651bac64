//! Looks at the chain: whether it is the same one, what has to be given to it
//! again, and which nonces are missing.

use std::time::Duration;

use alloy::primitives::B256;
use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{Action, ChainSnapshot, Key, Queue, Sending, SnapshotQuery, identity::Recognition, item::Phase};

/// Pause before the first look after something changed; each further one is
/// twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// Looks are rarer by this factor where only reorganisations are waited for.
const CALM: u32 = 16;
/// Pause between two looks where nothing is waited for: they only show whether
/// the chain is still the same one.
const IDLE_PAUSE: Duration = Duration::from_secs(30);
/// A transaction that the chain does not count after this time is given to it
/// again; each further time it takes twice as long.
const RESEND_AFTER: Duration = Duration::from_secs(3);
/// How often that time is doubled at most.
const MAX_DOUBLINGS: u32 = 4;
/// Most transactions that are given to the chain again after one look.
const MAX_RESENDS: usize = 64;
/// A nonce that is missing for so long is filled.
const GAP_AFTER: Duration = Duration::from_secs(5);
/// Most missing nonces that are filled at a time.
const MAX_FILLED: u64 = 64;
/// No mempool holds more of one account; who says so makes no sense.
const MAX_PENDING: u64 = 1 << 20;

/// What is known of the chain, and when it is looked at next.
pub(super) struct Watch {
    /// Number of looks that were begun.
    round: u64,
    is_running: bool,
    /// What the look under way is for.
    asked: SnapshotQuery,
    /// The block that shows whether the chain is still the same one.
    mark: Option<(u64, B256)>,
    next: Instant,
    pause: Duration,
    /// Why the last look failed: the next one waits, whoever wants it.
    failure: Option<String>,
    /// A look has succeeded since the last one that failed.
    has_seen: bool,
    height: u64,
    count: u64,
    count_at: Option<u64>,
    /// Behind the nonces of those that are final.
    floor: u64,
    gap_since: Option<Instant>,
    /// The last look gave no nonces to those that wait for some.
    is_fruitless: bool,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            round: 0,
            is_running: false,
            asked: SnapshotQuery::default(),
            mark: None,
            next: now,
            pause: FIRST_PAUSE,
            failure: None,
            has_seen: false,
            height: 0,
            count: 0,
            count_at: None,
            floor: 0,
            gap_since: None,
            is_fruitless: false,
        }
    }

    /// Whether transactions may be given to the chain: after an outage another
    /// one may stand in its place.
    pub(super) fn may_send(&self) -> bool {
        self.has_seen
    }

    /// Nothing is given to the chain before the next look.
    pub(super) fn hold_sends(&mut self) {
        self.has_seen = false;
    }

    /// Why the last look failed.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Number of the newest block at the last look.
    pub(super) fn height(&self) -> u64 {
        self.height
    }

    /// The account's count at the height that counts as final, where the last
    /// look asked for it.
    pub(super) fn final_count(&self) -> Option<u64> {
        self.count_at
    }

    /// Something new waits for a nonce.
    pub(super) fn hurry(&mut self) {
        self.is_fruitless = false;
    }

    /// Nothing is known of a chain that began anew.
    pub(super) fn forget_chain(&mut self) {
        (self.mark, self.height, self.count, self.count_at) = (None, 0, 0, None);
        (self.floor, self.gap_since) = (0, None);
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
    /// Looks at once where something is to be looked after.
    pub(super) fn begin_looking(&mut self, now: Instant) {
        if self.is_idle() {
            self.watch.next = now + IDLE_PAUSE;
        }
    }

    /// Something changed that a look will show.
    pub(super) fn hasten_look(&mut self, now: Instant) {
        self.watch.pause = FIRST_PAUSE;
        self.watch.next = self.watch.next.min(now + FIRST_PAUSE);
    }

    /// When a look is due; `None` where one is under way.
    pub(super) fn next_look(&self) -> Option<Instant> {
        (!self.watch.is_running).then_some(self.watch.next)
    }

    fn wants_nonces(&self) -> bool {
        !self.queued.is_empty() && self.stage.is_idle()
    }

    pub(super) fn look_if_due(&mut self, now: Instant) {
        let is_wanted = self.asks_need_look() || (self.wants_nonces() && !self.watch.is_fruitless);
        let is_at_once = is_wanted && self.watch.failure.is_none() && !self.is_strange();
        let is_due = is_at_once || self.next_look().is_some_and(|at| at <= now);
        if self.watch.is_running || !is_due {
            return;
        }
        let wants_nonces = self.wants_nonces();
        self.watch.mark = self.newest_mined();
        let sending = || self.nonces.iter().filter_map(|(_, key)| self.sending(*key));
        let wants_price = sending().any(|sending| {
            sending.too_cheap
                || sending.is_outbid
                || sending.is_barred
                || now.saturating_duration_since(sending.priced) >= self.config.replace_after
        });
        let has_doubts = sending().any(|sending| sending.absent > 0);
        let must_recognise = !self.watch.has_seen || self.identity.has_doubts(now);
        let look = SnapshotQuery {
            block: self.watch.mark.map(|(number, _)| number),
            landmark: must_recognise.then(|| self.identity.block_to_ask(self.watch.height)),
            count_at: has_doubts.then(|| self.watch.height.saturating_sub(self.config.confirmations)),
            price: (wants_nonces || wants_price) && self.stage.is_idle(),
            balance: wants_nonces,
        };
        self.watch.round += 1;
        self.watch.is_running = true;
        self.watch.asked = look;
        self.actions.push(Action::Look(look));
    }

    pub(super) fn looked(&mut self, result: Result<ChainSnapshot, ChainError>, now: Instant) {
        let snapshot = match result {
            Ok(snapshot) if snapshot.pending <= snapshot.count.saturating_add(MAX_PENDING) => snapshot,
            Ok(_) => {
                return self.look_failed(
                    &ChainError::Unavailable("its answer makes no sense".to_owned()),
                    now,
                );
            }
            Err(error) => return self.look_failed(&error, now),
        };
        let has_advanced = snapshot.count > self.watch.count;
        self.watch.failure = None;
        self.watch.height = snapshot.height;
        let asked = self.watch.asked;
        match self.identity.recognise(asked.landmark, snapshot.landmark, now) {
            Recognition::Same => self.confirm_taken_back(&snapshot),
            // Not every endpoint has every block.
            Recognition::Unknown => {}
            // Nothing is sent to it, and nothing that it says of the account is believed.
            Recognition::Strange => {
                self.watch.has_seen = false;
                return self.end_round(now);
            }
            Recognition::Another => return self.begin_anew(asked.landmark, &snapshot, now),
        }
        self.watch.has_seen = true;
        self.identity
            .note_height(snapshot.height, self.config.confirmations);
        self.watch.count = snapshot.count;
        self.watch.count_at = snapshot.count_at.filter(|_| asked.count_at.is_some());
        let is_reorganised = self.is_reorganised(&snapshot);
        if is_reorganised {
            self.doubt_receipts();
        }
        let wanted = self.in_doubt();
        self.resend(&snapshot, has_advanced, now);
        if !is_reorganised {
            // Else it is not known which nonces are in use.
            self.assign(&snapshot, now);
        }
        // What has no nonce now cannot have one before something changes.
        self.watch.is_fruitless = self.wants_nonces();
        self.note_gap(&snapshot, now);
        match wanted.is_empty() {
            true => self.end_round(now),
            false => self.actions.push(Action::Fetch(wanted)),
        }
    }

    /// Whether the chain has another block in the place of one that was seen.
    fn is_reorganised(&self, snapshot: &ChainSnapshot) -> bool {
        self.watch
            .mark
            .is_some_and(|(number, hash)| match snapshot.block {
                Some(found) => found != hash,
                // A node that lags says nothing of that block.
                None => snapshot.height >= number,
            })
    }

    fn is_strange(&self) -> bool {
        self.identity.strange_since().is_some()
    }

    fn look_failed(&mut self, error: &ChainError, now: Instant) {
        self.refuse_queued(error);
        self.watch.failure = Some(error.to_string());
        self.watch.has_seen = false;
        self.end_round(now);
    }

    pub(super) fn end_round(&mut self, now: Instant) {
        let is_calm = self.nonces.iter().all(|(_, key)| self.sending(*key).is_none());
        let longest = self.config.poll_interval * if is_calm { CALM } else { 1 };
        self.watch.is_running = false;
        self.watch.next = now
            + if self.is_idle() && self.watch.failure.is_none() {
                IDLE_PAUSE
            } else {
                self.watch.pause
            };
        self.watch.pause = (self.watch.pause * 2).min(longest);
        self.answer_asks();
    }

    /// Whether nothing is waited for.
    fn is_idle(&self) -> bool {
        self.nonces.is_empty() && self.queued.is_empty() && self.asks.is_empty() && !self.is_strange()
    }

    /// Gives to the chain again what it does not have (any more).
    fn resend(&mut self, snapshot: &ChainSnapshot, has_advanced: bool, now: Instant) {
        let end = snapshot.count.saturating_add(self.config.max_unmined);
        let mut lost = 0;
        let waiting: Vec<_> = self
            .nonces
            .range((snapshot.count, 0)..(end, 0))
            .map(|(_, key)| (*key, self.is_displaced(*key)))
            .collect();
        for (key, is_displaced) in waiting {
            let Some(item) = self.items.get_mut(&key) else {
                continue;
            };
            let Phase::Sending(sending) = &mut item.phase else {
                continue;
            };
            sending.absent = 0;
            if sending.in_flight || sending.is_barred || is_displaced {
                continue;
            }
            let is_due = match sending.taken {
                // The mempool may have room for it now.
                None => sending.next.is_none() || (has_advanced && sending.tries > 0),
                Some(at) if item.nonce >= snapshot.pending && lost < MAX_RESENDS => {
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

    /// The first nonce that neither the chain counts nor an own transaction bears.
    pub(super) fn first_missing(&self, snapshot: &ChainSnapshot) -> u64 {
        let mut expected = snapshot.count.max(snapshot.pending);
        for (nonce, _) in self.nonces.range((expected, 0)..) {
            if *nonce > expected {
                break;
            }
            expected = nonce.saturating_add(1);
        }
        expected
    }

    /// Sees whether own transactions wait for one that is missing.
    fn note_gap(&mut self, snapshot: &ChainSnapshot, now: Instant) {
        // What is final has used its nonces up, whatever an endpoint that lags behind counts.
        let expected = self.first_missing(snapshot).max(self.watch.floor());
        let next = self.nonces.range((expected, 0)..).next();
        let missing = next.map_or(0, |(nonce, _)| nonce.saturating_sub(expected));
        let is_idle = self.queued.is_empty() && self.stage.is_idle();
        match self.watch.gap_since {
            _ if missing == 0 || !is_idle => self.watch.gap_since = None,
            None => self.watch.gap_since = Some(now),
            Some(since) if now.saturating_duration_since(since) >= GAP_AFTER => {
                self.watch.gap_since = Some(now);
                self.actions.push(Action::FillGap(missing.min(MAX_FILLED)));
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

    pub(super) fn sending(&self, key: Key) -> Option<&Sending> {
        match &self.items.get(&key)?.phase {
            Phase::Sending(sending) => Some(sending),
            _ => None,
        }
    }
}
