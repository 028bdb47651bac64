//! What is to be done about the copies of one object.

use dm_core::{envelope::ObjectId, ports::NotTaken};

use super::{
    Holder, Peer, PeerKey, Proof, RepairConfig,
    peers::Peers,
    record::{Record, Step, Waits},
};

/// Holders of one object that are remembered.
const MAX_HOLDERS: usize = 32;
/// Peers of which it is remembered that they had no copy.
const MAX_REFUTED: usize = 32;

/// What a decision depends on beside the object.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) me: PeerKey,
    pub(super) peers: &'a Peers,
    pub(super) config: &'a RepairConfig,
    pub(super) now: u64,
}

impl Holder {
    fn new(peer: PeerKey, next_challenge: u64, now: u64) -> Self {
        Self {
            peer,
            since: now,
            proved: None,
            silent: false,
            next_challenge,
        }
    }

    /// Whether it counts as a copy: it can be reached, and has proven that it
    /// holds the bytes, or took them so late that it had no time to.
    pub(super) fn is_live(&self, context: Context<'_>) -> bool {
        let holds = self.proved.is_some() || context.now < self.proof_ends(context.config);
        holds && !self.silent && context.peers.is_up(self.peer)
    }

    /// Until when it need not have proven anything.
    fn proof_ends(&self, config: &RepairConfig) -> u64 {
        self.since.saturating_add(config.claim_patience)
    }
}

impl Record {
    /// Others that shall hold the object: a replica is one of them itself.
    pub(super) fn wanted(&self, config: &RepairConfig) -> u32 {
        config.factor.saturating_sub(u32::from(!self.own))
    }

    pub(super) fn live(&self, context: Context<'_>) -> u32 {
        self.live_holders(context).count() as u32
    }

    fn live_holders<'a>(&'a self, context: Context<'a>) -> impl Iterator<Item = &'a Holder> {
        self.holders.iter().filter(move |holder| holder.is_live(context))
    }

    /// The peer has taken the bytes, or has sent them; whether it is a new
    /// holder. It is not believed of one that had nothing when it was asked.
    pub(super) fn take_holder(&mut self, peer: PeerKey, challenge_at: u64, now: u64) -> bool {
        self.pardon(now);
        let is_known = self.holders.iter().any(|holder| holder.peer == peer);
        if is_known || self.is_refuted(peer) || self.holders.len() >= MAX_HOLDERS {
            return false;
        }
        self.holders.push(Holder::new(peer, challenge_at, now));
        true
    }

    /// Whether it is worth while to ask a peer for a proof because others say
    /// that it holds the object.
    pub(super) fn may_hold(&self, peer: PeerKey) -> bool {
        let is_known = self.holders.iter().any(|holder| holder.peer == peer);
        !is_known && !self.is_refuted(peer) && self.holders.len() < MAX_HOLDERS
    }

    /// What a challenge of a peer showed.
    pub(super) fn prove(&mut self, peer: &Peer, proof: Proof, context: Context<'_>) {
        let now = context.now;
        match proof {
            Proof::Proven => {
                self.take_holder(peer.key, u64::MAX, now);
                if let Some(holder) = self.holder(peer.key) {
                    holder.proved = Some(now);
                    holder.silent = false;
                }
            }
            Proof::Silent => {
                if let Some(holder) = self.holder(peer.key) {
                    holder.silent = true;
                    holder.next_challenge = now + context.config.first_pause;
                }
            }
            // Who only lost its copy may have another one soon.
            Proof::Missing => self.refute(peer, now + context.config.longest_pause),
            Proof::Wrong => self.refute(peer, now + context.config.forget_after),
        }
    }

    fn refute(&mut self, peer: &Peer, until: u64) {
        self.holders.retain(|holder| holder.peer != peer.key);
        self.refuted.retain(|(refuted, _)| refuted.key != peer.key);
        if self.refuted.len() >= MAX_REFUTED {
            self.refuted.remove(0);
        }
        self.refuted.push((peer.clone(), until));
    }

    fn is_refuted(&self, peer: PeerKey) -> bool {
        self.refuted.iter().any(|(refuted, _)| refuted.key == peer)
    }

    fn pardon(&mut self, now: u64) {
        self.refuted.retain(|(_, until)| now < *until);
    }

    /// What came of offering copies. Those that nobody took are offered again
    /// after a pause, and other holders are looked for first.
    pub(super) fn after_placing(&mut self, not_taken: Option<NotTaken>, config: &RepairConfig, now: u64) {
        self.not_taken = not_taken;
        if not_taken.is_none() {
            self.failures = 0;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.searched = None;
        self.retry_at = now + config.pause_after(self.failures);
    }

    /// Decides anew what is to be done about the number of copies, and when.
    /// While something is being done already, that is waited for.
    pub(super) fn review(&mut self, id: &ObjectId, context: Context<'_>, is_busy: bool) {
        let (config, now) = (context.config, context.now);
        self.pardon(now);
        self.holders
            .retain(|holder| holder.proved.is_some() || now < holder.proof_ends(config));
        let unproven = self.holders.iter().filter(|holder| holder.proved.is_none());
        let next_end = unproven.map(|holder| holder.proof_ends(config)).min();
        self.waits = None;
        let live = self.live(context);
        if live >= self.wanted(config) {
            (self.short_since, self.not_taken) = (None, None);
            (self.failures, self.retry_at) = (0, 0);
            self.review_at = next_end;
            return;
        }
        let since = self.short_since.unwrap_or_else(|| self.became_short(context));
        self.short_since = Some(since);
        let begins = self.begins(since, id, context);
        let next = if is_busy {
            // What is under way is lost when the process ends.
            Some(now + config.longest_step)
        } else if now < begins {
            Some(begins)
        } else {
            self.waits = Some(Waits {
                what: self.next_step(live, since),
                copies: u8::try_from(live + 1).unwrap_or(u8::MAX),
                since,
            });
            None
        };
        self.review_at = next_end.into_iter().chain(next).min();
    }

    /// When the last copy went away that is missing now.
    fn became_short(&self, context: Context<'_>) -> u64 {
        let away = self.holders.iter();
        let away = away
            .filter_map(|holder| context.peers.down_since(holder.peer))
            .max();
        away.unwrap_or(context.now)
    }

    /// A peer that is offered an object says whether it has it already. Only
    /// where nobody is known to have it, or nobody takes it, others are looked for.
    fn next_step(&self, live: u32, since: u64) -> Step {
        let is_searched = self.searched.is_some_and(|at| at >= since);
        if (live == 0 || self.failures > 0) && !is_searched {
            Step::Search
        } else {
            Step::Place
        }
    }

    /// When this node begins to replace what is missing: the holder closest to
    /// the object first, the next one only if nothing has come of that.
    fn begins(&self, since: u64, id: &ObjectId, context: Context<'_>) -> u64 {
        let (mut copies, mut before_me) = (1, 0);
        for holder in self.live_holders(context) {
            copies += 1;
            before_me += u64::from(holder.peer.distance(id) < context.me.distance(id));
        }
        let begins = since + context.config.grace_with(copies) + before_me * context.config.turn;
        begins.max(self.retry_at)
    }

    /// Whether enough others hold the object, who have proven it within two
    /// intervals, and all of them are closer to it than this node.
    pub(super) fn is_surplus(&self, id: &ObjectId, context: Context<'_>, interval: u64) -> bool {
        let is_fresh = |holder: &&Holder| {
            let proved = holder.proved.unwrap_or_default();
            context.now < proved.saturating_add(2 * interval)
        };
        let proven = self.live_holders(context).filter(is_fresh).count();
        let mut closer = self
            .live_holders(context)
            .map(|holder| holder.peer.distance(id) < context.me.distance(id));
        !self.own && proven >= context.config.factor as usize && closer.all(|closer| closer)
    }

    /// Peers to which no copy is brought.
    pub(super) fn avoid(&mut self, context: Context<'_>) -> Vec<Peer> {
        self.pardon(context.now);
        let holders = self
            .holders
            .iter()
            .filter_map(|holder| context.peers.name(holder.peer));
        holders
            .chain(self.refuted.iter().map(|(peer, _)| peer.clone()))
            .collect()
    }
}
