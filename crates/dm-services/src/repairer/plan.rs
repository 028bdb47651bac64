//! Decides which holder of which object is challenged, and when a copy is
//! made to replace one that is gone. Does no I/O, is told the time, and says
//! what is to be done.

use std::collections::{BTreeMap, BTreeSet};

use dm_core::envelope::ObjectId;

mod bucket;
mod config;
mod ends;
mod entry;
mod holder;
mod peers;
mod view;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use self::{
    bucket::Bucket,
    entry::{Busy, Entry, Verdict},
    peers::Peers,
};
pub use self::{
    config::RepairConfig,
    holder::{Holder, PeerKey},
};

/// Actions of one call of [`RepairPlan::due`]; what is left over follows at the next.
const MAX_ACTIONS: usize = 256;

/// What the plan wants done. Every action but [`Action::Expire`] and
/// [`Action::Record`] is answered by the call of the plan that its description names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Have a holder prove that it has the bytes, then call [`RepairPlan::proved`].
    Challenge {
        /// Of which object.
        object: ObjectId,
        /// Which holder.
        peer: PeerKey,
    },
    /// Look for further holders, then call [`RepairPlan::found`].
    Search {
        /// Of which object.
        object: ObjectId,
    },
    /// Bring copies to further peers, then call [`RepairPlan::placed`].
    Place {
        /// Of which object.
        object: ObjectId,
        /// How many.
        copies: u32,
        /// To none of these: they have one, are away, or have lied.
        avoid: Vec<PeerKey>,
    },
    /// The time of an object is over: delete the copy, unless the time was put
    /// off meanwhile. It is not looked after any more.
    Expire {
        /// Of which object.
        object: ObjectId,
    },
    /// The holders of an object have changed: keep the new list.
    Record {
        /// Of which object.
        object: ObjectId,
    },
}

/// What a challenge showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The peer has the bytes.
    Proven,
    /// It says that it does not have them.
    Missing,
    /// It answered, and not from the bytes.
    Wrong,
    /// It did not answer.
    Silent,
}

/// What is known of an object's copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    /// Whether this node is its owner.
    pub own: bool,
    /// Peers that shall hold it, this node not counted.
    pub wanted: u32,
    /// Peers that hold it and can be reached.
    pub live: u32,
    /// All peers that are thought to hold it, and whether each counts now.
    pub holders: Vec<(Holder, bool)>,
}

/// The objects for which this node owes copies, and who holds them.
///
/// Memory: some 300 bytes for each object and 64 for each of its holders. Each
/// peer that comes or goes has the holders of all objects looked through.
pub struct RepairPlan {
    me: PeerKey,
    config: RepairConfig,
    entries: BTreeMap<ObjectId, Entry>,
    peers: Peers,
    /// Objects in the order in which they are to be looked at.
    agenda: BTreeSet<(u64, ObjectId)>,
    /// Objects that need copies: fewest copies first, then those that wait longest.
    shortages: BTreeSet<(u32, u64, ObjectId)>,
    /// Objects with too few copies, whatever is being done about it.
    short: BTreeSet<ObjectId>,
    changed: BTreeSet<ObjectId>,
    /// Objects whose time ends, in the order in which it does.
    ends: BTreeSet<(u64, ObjectId)>,
    challenges: Bucket,
    bytes: Bucket,
    placing: usize,
    /// When a copy was last begun, while others wait.
    waiting_since: Option<u64>,
}

impl RepairPlan {
    /// A plan of the node `me` that owes nothing yet.
    pub fn new(me: PeerKey, config: RepairConfig, now: u64) -> Self {
        Self {
            me,
            config,
            entries: BTreeMap::new(),
            peers: Peers::default(),
            agenda: BTreeSet::new(),
            shortages: BTreeSet::new(),
            short: BTreeSet::new(),
            changed: BTreeSet::new(),
            ends: BTreeSet::new(),
            challenges: Bucket::new(config.challenges_per_second, config.challenges_per_second, now),
            bytes: Bucket::new(config.bytes_per_second, config.bytes_per_second, now),
            placing: 0,
            waiting_since: None,
        }
    }

    /// This node stores an object of this many bytes, with what was known of
    /// its holders. Told again, nothing changes.
    pub fn keep(&mut self, object: ObjectId, own: bool, bytes: u64, holders: Vec<Holder>, now: u64) {
        if self.entries.contains_key(&object) {
            return;
        }
        let mut entry = Entry::new(own, bytes, now);
        for holder in holders {
            let spread = self.config.spread(&object, holder.peer);
            entry.restore(holder, now + spread);
        }
        self.entries.insert(object, entry);
        self.agenda.insert((now, object));
    }

    /// This node does not store the object any more.
    pub fn drop_object(&mut self, object: &ObjectId) {
        if let Some(entry) = self.entries.remove(object) {
            if let Some(end) = entry.end_of_time {
                self.ends.remove(&(end, *object));
            }
            self.agenda.remove(&(entry.due, *object));
            if let Some((copies, since)) = entry.queued {
                self.shortages.remove(&(copies, since, *object));
            }
            self.short.remove(object);
            self.placing -= usize::from(entry.busy == Some(Busy::Placing));
            self.changed.insert(*object);
        }
    }

    /// Somebody says that these peers hold the object.
    pub fn told(&mut self, object: &ObjectId, peers: &[PeerKey], now: u64) {
        let Some(entry) = self.entries.get_mut(object) else {
            return;
        };
        let mut changed = false;
        for peer in peers.iter().filter(|peer| **peer != self.me) {
            changed |= entry.claim(*peer, now, now);
        }
        if changed {
            self.changed.insert(*object);
            self.touch(object, now);
        }
    }

    /// The peer can be reached now.
    pub fn peer_up(&mut self, peer: PeerKey, now: u64) {
        let was = self.peers.up(peer);
        let objects: Vec<ObjectId> = match was {
            peers::Was::Up => return,
            // It may have lost its disk.
            peers::Was::Down => self.held_by(peer),
            // It may take what nobody else could.
            peers::Was::Unknown => self.short.iter().copied().collect(),
        };
        for object in objects {
            let spread = self.config.spread(&object, peer);
            if let Some(entry) = self.entries.get_mut(&object) {
                entry.peer_up(peer, now + spread);
            }
            self.touch(&object, now);
        }
    }

    /// The peer cannot be reached any more.
    pub fn peer_down(&mut self, peer: PeerKey, now: u64) {
        let held = self.held_by(peer);
        if held.is_empty() {
            return self.peers.forget(peer);
        }
        if self.peers.down(peer, now, &self.config) {
            for object in held {
                self.touch(&object, now);
            }
        }
    }

    /// What came of an [`Action::Challenge`].
    pub fn proved(&mut self, object: &ObjectId, peer: PeerKey, proof: Proof, now: u64) {
        match proof {
            Proof::Silent => {
                self.peers.silent(peer, now, &self.config);
                for other in self.held_by(peer) {
                    self.touch(&other, now);
                }
            }
            Proof::Proven | Proof::Missing | Proof::Wrong => self.peer_up(peer, now),
        }
        let next = now + self.config.challenge_interval + self.config.spread(object, peer);
        if let Some(entry) = self.entries.get_mut(object)
            && entry.proved(peer, proof, next, &self.config, now)
        {
            self.changed.insert(*object);
        }
        self.touch(object, now);
    }

    /// An [`Action::Challenge`] could not be made; it is due again after a pause.
    pub fn not_challenged(&mut self, object: &ObjectId, peer: PeerKey, now: u64) {
        if let Some(entry) = self.entries.get_mut(object) {
            entry.not_challenged(peer, now + self.config.first_pause);
        }
        self.touch(object, now);
    }

    /// What came of an [`Action::Search`]: peers that answered and say that
    /// they hold the object.
    pub fn found(&mut self, object: &ObjectId, peers: &[PeerKey], now: u64) {
        for peer in peers {
            self.peer_up(*peer, now);
        }
        if let Some(entry) = self.entries.get_mut(object) {
            entry.end(Busy::Searching);
            entry.searched = Some(now);
        }
        self.told(object, peers, now);
        self.touch(object, now);
    }

    /// What came of an [`Action::Place`]: peers that have taken the object.
    pub fn placed(&mut self, object: &ObjectId, peers: &[PeerKey], now: u64) {
        let Some(entry) = self.entries.get_mut(object) else {
            return;
        };
        if entry.end(Busy::Placing) {
            self.placing -= 1;
        }
        for peer in peers.iter().filter(|peer| **peer != self.me) {
            self.peers.up(*peer);
            // It has just received the bytes; that it kept them is asked soon.
            let spread = self.config.spread(object, *peer);
            entry.claim(*peer, now + self.config.turn + spread, now);
        }
        entry.after_placing(peers.len(), now, &self.config);
        self.changed.insert(*object);
        self.touch(object, now);
    }

    /// What is to be done now.
    pub fn due(&mut self, now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        self.expire(now, &mut actions);
        while let Some((at, object)) = self.agenda.first().copied()
            && at <= now
            && actions.len() < MAX_ACTIONS
            && self.challenges.has_any(now)
        {
            self.review(&object, now, &mut actions);
        }
        let before = actions.len();
        self.place(now, &mut actions);
        self.note_waiting(actions.len() > before, now);
        let changed = std::mem::take(&mut self.changed);
        actions.extend(changed.into_iter().map(|object| Action::Record { object }));
        actions
    }

    /// When [`RepairPlan::due`] has something to do, as far as that is known.
    pub fn next_due(&self, now: u64) -> Option<u64> {
        let review = self.agenda.first().map(|(at, _)| self.challenges.next(*at));
        let can_place = !self.shortages.is_empty() && self.placing < self.config.places;
        let place = can_place.then(|| self.bytes.next(now));
        let end = self.ends.first().map(|(at, _)| *at);
        review.into_iter().chain(place).chain(end).min()
    }

    fn review(&mut self, object: &ObjectId, now: u64, actions: &mut Vec<Action>) {
        let Some(entry) = self.entries.get_mut(object) else {
            return;
        };
        self.agenda.remove(&(entry.due, *object));
        if entry.forget(&self.peers, &self.config, now) {
            self.changed.insert(*object);
        }
        for peer in entry.take_due(&mut self.peers, &self.config, now) {
            self.challenges.take(1);
            actions.push(Action::Challenge {
                object: *object,
                peer,
            });
        }
        match entry.shortage(object, self.me, &self.peers, &self.config, now) {
            Verdict::Enough => unqueue(&mut self.shortages, entry, object),
            Verdict::Wait => {}
            Verdict::Search => {
                self.challenges.take(1);
                entry.busy = Some(Busy::Searching);
                actions.push(Action::Search { object: *object });
            }
            Verdict::Place { copies, since } => {
                unqueue(&mut self.shortages, entry, object);
                entry.queued = Some((copies, since));
                self.shortages.insert((copies, since, *object));
            }
        }
        if entry.is_short() {
            self.short.insert(*object);
        } else {
            self.short.remove(object);
        }
        entry.due = entry.next_due(object, self.me, &self.peers, &self.config, now);
        self.agenda.insert((entry.due, *object));
    }

    fn note_waiting(&mut self, has_begun: bool, now: u64) {
        self.waiting_since = match self.waiting_since {
            _ if self.shortages.is_empty() => None,
            Some(since) if !has_begun => Some(since),
            _ => Some(now),
        };
    }

    /// Begins the most urgent copies, within the limits.
    fn place(&mut self, now: u64, actions: &mut Vec<Action>) {
        while self.placing < self.config.places && self.bytes.has_any(now) {
            let Some((_, _, object)) = self.shortages.pop_first() else {
                return;
            };
            let Some(entry) = self.entries.get_mut(&object) else {
                continue;
            };
            entry.queued = None;
            let live = entry.live(&self.peers, &self.config, now);
            let missing = entry.wanted(&self.config).saturating_sub(live);
            if missing == 0 || entry.busy.is_some() {
                continue;
            }
            entry.busy = Some(Busy::Placing);
            self.placing += 1;
            self.bytes.take(entry.bytes.saturating_mul(u64::from(missing)));
            actions.push(Action::Place {
                object,
                copies: missing,
                avoid: entry.avoid(now),
            });
        }
    }

    /// Has an object looked at at the next opportunity.
    fn touch(&mut self, object: &ObjectId, now: u64) {
        if let Some(entry) = self.entries.get_mut(object)
            && entry.due > now
        {
            self.agenda.remove(&(entry.due, *object));
            entry.due = now;
            self.agenda.insert((now, *object));
        }
    }

    fn held_by(&self, peer: PeerKey) -> Vec<ObjectId> {
        let holds = |entry: &&Entry| entry.holders().any(|slot| slot.holder.peer == peer);
        let entries = self.entries.iter().filter(|(_, entry)| holds(entry));
        entries.map(|(object, _)| *object).collect()
    }
}

fn unqueue(shortages: &mut BTreeSet<(u32, u64, ObjectId)>, entry: &mut Entry, object: &ObjectId) {
    if let Some((copies, since)) = entry.queued.take() {
        shortages.remove(&(copies, since, *object));
    }
}
