use dm_core::envelope::ObjectId;

use super::{Holder, PeerKey, Proof, RepairConfig, holder::Slot, peers::Peers};

/// Holders of one object that are remembered: more claims are not taken.
const MAX_HOLDERS: usize = 32;
/// Peers of which it is remembered that they had no copy.
const MAX_REFUTED: usize = 32;

/// What is under way for an object, beside challenges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    Searching,
    Placing,
}

/// What is to be done about the number of copies.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Enough,
    Wait,
    Search,
    /// With how many copies there are, the own one counted, and since when
    /// they are too few.
    Place {
        copies: u32,
        since: u64,
    },
}

/// What is known of one object.
pub(super) struct Entry {
    pub(super) own: bool,
    pub(super) bytes: u64,
    /// When it is looked at next.
    pub(super) due: u64,
    pub(super) busy: Option<Busy>,
    /// When further holders were last looked for.
    pub(super) searched: Option<u64>,
    /// When nobody shall hold it any more.
    pub(super) end_of_time: Option<u64>,
    /// Its place among the shortages.
    pub(super) queued: Option<(u32, u64)>,
    slots: Vec<Slot>,
    /// Who had no copy where one was thought to be, and until when it gets none.
    refuted: Vec<(PeerKey, u64)>,
    short_since: Option<u64>,
    retry_at: u64,
    failures: u32,
}

impl Entry {
    pub(super) fn new(own: bool, bytes: u64, now: u64) -> Self {
        Self {
            own,
            bytes,
            due: now,
            busy: None,
            searched: None,
            end_of_time: None,
            queued: None,
            slots: Vec::new(),
            refuted: Vec::new(),
            short_since: None,
            retry_at: 0,
            failures: 0,
        }
    }

    pub(super) fn holders(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// Others that shall hold the object: a replica is one of them itself.
    pub(super) fn wanted(&self, config: &RepairConfig) -> u32 {
        config.factor.saturating_sub(u32::from(!self.own))
    }

    pub(super) fn live(&self, peers: &Peers, config: &RepairConfig, now: u64) -> u32 {
        let live = self.slots.iter().filter(|slot| slot.is_live(peers, config, now));
        live.count() as u32
    }

    pub(super) fn is_short(&self) -> bool {
        self.short_since.is_some()
    }

    /// A holder of an earlier run.
    pub(super) fn restore(&mut self, holder: Holder, next_challenge: u64) {
        if self.slots.len() < MAX_HOLDERS {
            self.slots.push(Slot::new(holder, next_challenge));
        }
    }

    /// The peer says, or is said, to hold the object; whether that is new. It
    /// is not believed of one that claimed it before and had nothing.
    pub(super) fn claim(&mut self, peer: PeerKey, challenge_at: u64, now: u64) -> bool {
        self.pardon(now);
        let is_known = self.slots.iter().any(|slot| slot.holder.peer == peer);
        let is_refuted = self.refuted.iter().any(|(refuted, _)| *refuted == peer);
        if is_known || is_refuted || self.slots.len() >= MAX_HOLDERS {
            return false;
        }
        let holder = Holder {
            peer,
            since: now,
            proved: None,
        };
        self.slots.push(Slot::new(holder, challenge_at));
        true
    }

    fn pardon(&mut self, now: u64) {
        self.refuted.retain(|(_, until)| now < *until);
    }

    /// A peer is back, or new: it is asked for a proof at `challenge_at`, and
    /// copies that nobody took are offered again.
    pub(super) fn peer_up(&mut self, peer: PeerKey, challenge_at: u64) {
        self.retry_at = 0;
        for slot in self.slots.iter_mut().filter(|slot| slot.holder.peer == peer) {
            slot.silent = false;
            slot.next_challenge = slot.next_challenge.min(challenge_at);
        }
    }

    /// What a challenge showed; whether the holders have changed.
    pub(super) fn proved(
        &mut self,
        peer: PeerKey,
        proof: Proof,
        next_challenge: u64,
        config: &RepairConfig,
        now: u64,
    ) -> bool {
        let Some(index) = self.slots.iter().position(|slot| slot.holder.peer == peer) else {
            return false;
        };
        match (proof, self.slots.get_mut(index)) {
            (Proof::Proven, Some(slot)) => {
                slot.holder.proved = Some(now);
                slot.silent = false;
                slot.asked = false;
                slot.next_challenge = next_challenge;
                true
            }
            (Proof::Silent, Some(slot)) => {
                slot.silent = true;
                slot.asked = false;
                false
            }
            _ => {
                self.slots.swap_remove(index);
                // Who only lost its copy may have another one soon.
                let avoided = match proof {
                    Proof::Wrong => config.forget_after,
                    _ => config.longest_pause,
                };
                self.refuted.push((peer, now.saturating_add(avoided)));
                if self.refuted.len() > MAX_REFUTED {
                    self.refuted.remove(0);
                }
                true
            }
        }
    }

    pub(super) fn not_challenged(&mut self, peer: PeerKey, next_challenge: u64) {
        for slot in self.slots.iter_mut().filter(|slot| slot.holder.peer == peer) {
            slot.asked = false;
            slot.next_challenge = next_challenge;
        }
    }

    /// Ends what was under way; whether it was.
    pub(super) fn end(&mut self, busy: Busy) -> bool {
        let was = self.busy == Some(busy);
        if was {
            self.busy = None;
        }
        was
    }

    /// Copies that nobody took are offered again after a pause, and others
    /// are looked for first.
    pub(super) fn after_placing(&mut self, taken: usize, now: u64, config: &RepairConfig) {
        self.failures = if taken == 0 {
            self.failures.saturating_add(1)
        } else {
            0
        };
        if self.failures > 0 {
            self.searched = None;
            self.retry_at = now + config.pause_after(self.failures);
        }
    }

    /// Forgets who has been away for too long, and claims that were never
    /// proven; whether anybody was.
    pub(super) fn forget(&mut self, peers: &Peers, config: &RepairConfig, now: u64) -> bool {
        let before = self.slots.len();
        self.slots.retain(|slot| now < forget_at(slot, peers, config));
        self.slots.len() < before
    }

    /// The holders that are to be challenged now. One that is away is asked
    /// as well from time to time: perhaps only nobody noticed its return.
    pub(super) fn take_due(&mut self, peers: &mut Peers, config: &RepairConfig, now: u64) -> Vec<PeerKey> {
        let mut challenged = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| !slot.asked) {
            let peer = slot.holder.peer;
            let is_due = if peers.is_up(peer) {
                slot.next_challenge <= now
            } else {
                peers.take_probe(peer, now, config)
            };
            if is_due {
                slot.asked = true;
                challenged.push(peer);
            }
        }
        challenged
    }

    /// Whether copies are missing, and what is to be done about it now.
    pub(super) fn shortage(
        &mut self,
        object: &ObjectId,
        me: PeerKey,
        peers: &Peers,
        config: &RepairConfig,
        now: u64,
    ) -> Verdict {
        let live = self.live(peers, config, now);
        if live >= self.wanted(config) {
            self.short_since = None;
            self.failures = 0;
            self.retry_at = 0;
            return Verdict::Enough;
        }
        let since = *self.short_since.get_or_insert(now);
        if self.busy.is_some() || now < self.begins(since, object, me, peers, config, now) {
            Verdict::Wait
        } else if self.searched.is_none_or(|at| at < since) {
            Verdict::Search
        } else {
            Verdict::Place {
                copies: live + 1,
                since,
            }
        }
    }

    /// When this node begins to replace what is missing: the holder closest to
    /// the object first, the next one only if nothing has come of that.
    fn begins(
        &self,
        since: u64,
        object: &ObjectId,
        me: PeerKey,
        peers: &Peers,
        config: &RepairConfig,
        now: u64,
    ) -> u64 {
        let live = self.slots.iter().filter(|slot| slot.is_live(peers, config, now));
        let (mut copies, mut before_me) = (1, 0);
        for slot in live {
            copies += 1;
            before_me += u64::from(slot.holder.peer.distance(object) < me.distance(object));
        }
        let begins = since + config.grace_with(copies) + before_me * config.turn;
        begins.max(self.retry_at)
    }

    /// When it is to be looked at again, if nothing happens before.
    pub(super) fn next_due(
        &self,
        object: &ObjectId,
        me: PeerKey,
        peers: &Peers,
        config: &RepairConfig,
        now: u64,
    ) -> u64 {
        let challenges = self.slots.iter().filter(|slot| !slot.asked).map(|slot| {
            let peer = slot.holder.peer;
            peers.next_probe(peer).unwrap_or(slot.next_challenge)
        });
        let forgetting = self.slots.iter().map(|slot| forget_at(slot, peers, config));
        let shortage = match (self.short_since, self.busy, self.queued) {
            (Some(since), None, None) => Some(self.begins(since, object, me, peers, config, now)),
            _ => None,
        };
        let next = challenges.chain(forgetting).chain(shortage).min();
        // Never in the same moment again: what is due now has been done.
        next.unwrap_or(u64::MAX).max(now + 1)
    }

    /// Whether enough others hold the object, who have proved it within two
    /// intervals, and all of them are closer to it than this node.
    pub(super) fn is_surplus(
        &self,
        object: &ObjectId,
        me: PeerKey,
        peers: &Peers,
        config: &RepairConfig,
        now: u64,
    ) -> bool {
        let is_proven = |slot: &&Slot| {
            let proved = slot.holder.proved.unwrap_or_default();
            slot.is_live(peers, config, now) && now < proved.saturating_add(2 * config.challenge_interval)
        };
        let live = self.slots.iter().filter(|slot| slot.is_live(peers, config, now));
        let mut closer = live.map(|slot| slot.holder.peer.distance(object) < me.distance(object));
        let proven = self.slots.iter().filter(is_proven).count();
        !self.own && self.busy.is_none() && proven >= config.factor as usize && closer.all(|closer| closer)
    }

    /// Peers to which no copy is brought.
    pub(super) fn avoid(&mut self, now: u64) -> Vec<PeerKey> {
        self.pardon(now);
        let holders = self.slots.iter().map(|slot| slot.holder.peer);
        holders
            .chain(self.refuted.iter().map(|(peer, _)| *peer))
            .collect()
    }
}

/// When a holder stops being one.
fn forget_at(slot: &Slot, peers: &Peers, config: &RepairConfig) -> u64 {
    let away = peers
        .down_since(slot.holder.peer)
        .map(|since| since.saturating_add(config.forget_after));
    let unproven = (slot.holder.proved.is_none() && !slot.asked).then(|| slot.claim_ends(config));
    away.into_iter().chain(unproven).min().unwrap_or(u64::MAX)
}
