//! Decides which holder of which object is challenged, and when a copy is made
//! to replace one that is gone. Talks to no peer, is told the time, and says
//! what is to be done.
//!
//! What is known of each object and of each peer that holds something is kept
//! in a store, in the order in which it is due. Memory holds what is under way,
//! the peers, and a bounded number of hints: it does not grow with the objects.
//! What happens costs what it concerns: a peer that comes or goes, the objects
//! that it holds; a challenge, one object.

use std::{collections::HashMap, sync::Arc};

use dm_core::{
    envelope::ObjectId,
    ports::{KeyValueStore, NotTaken, StoreError},
};

mod bucket;
mod config;
mod decide;
mod due;
mod hints;
mod index;
mod peer;
mod peers;
mod record;
mod sweeps;
mod under_way;
mod view;

#[cfg(test)]
mod tests;

use self::{
    bucket::Bucket,
    decide::Context,
    hints::Hints,
    index::Index,
    peers::Peers,
    record::Record,
    sweeps::Sweeps,
    under_way::{Cause, UnderWay},
};
pub use self::{
    config::RepairConfig,
    peer::{Peer, PeerKey},
    record::Holder,
    view::{Copies, stored_holders},
};

/// Actions of one kind in one call of [`RepairPlan::due`]; what is left over
/// follows at the next.
const MAX_ACTIONS: usize = 256;

/// What the plan wants done. Every action but [`Action::Expire`] and
/// [`Action::Count`] is answered by the call of the plan that its description names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Have a peer prove that it has the bytes, then call [`RepairPlan::proved`].
    Challenge {
        /// Of which object.
        object: ObjectId,
        /// Which peer.
        peer: Peer,
        /// Holders of the object, which the peer may be told of.
        known: Vec<Peer>,
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
        avoid: Vec<Peer>,
    },
    /// The time of an object is over: delete the copy, unless the time was put
    /// off meanwhile. It is not looked after any more.
    Expire {
        /// Of which object.
        object: ObjectId,
    },
    /// The number of holders of one of this node's own objects has changed.
    Count {
        /// Of which object.
        object: ObjectId,
        /// How many there are now.
        replicas: u32,
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

/// The objects for which this node owes copies, and who holds them.
pub struct RepairPlan {
    me: PeerKey,
    config: RepairConfig,
    index: Index,
    peers: Peers,
    hints: Hints,
    sweeps: Sweeps,
    under_way: UnderWay,
    /// Peers that are back and have not been asked for proofs yet.
    returned: Vec<Peer>,
    /// Own objects whose number of holders has changed.
    counts: HashMap<ObjectId, u32>,
    challenges: Bucket,
    searches: Bucket,
    bytes: Bucket,
    /// When a copy was last begun, while others wait.
    waiting_since: Option<u64>,
    /// Where the search for surplus copies goes on.
    surplus_after: Option<ObjectId>,
}

impl RepairPlan {
    /// The plan of the node `me`, as it was when it was last written to this store.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn open(
        me: PeerKey,
        config: RepairConfig,
        store: Arc<dyn KeyValueStore>,
        now: u64,
    ) -> Result<Self, StoreError> {
        let index = Index::open(store).await?;
        let peers = Peers::restore(&index.peers().await?, &config, now);
        let mut sweeps = Sweeps::default();
        for (peer, turn) in peers.untold() {
            sweeps.tell(peer, turn);
        }
        Ok(Self {
            me,
            config,
            index,
            peers,
            hints: Hints::default(),
            sweeps,
            under_way: UnderWay::default(),
            returned: Vec::new(),
            counts: HashMap::new(),
            challenges: Bucket::new(config.challenges_per_second, config.challenges_per_second, now),
            searches: Bucket::new(config.searches_per_second, config.searches_per_second, now),
            bytes: Bucket::new(config.bytes_per_second, config.bytes_per_second, now),
            waiting_since: None,
            surplus_after: None,
        })
    }

    /// This node stores an object of this many bytes. The time of an object of
    /// another owner ends at `ends`, or never; the end of this node's own
    /// objects is the business of who shares them. Told again, only what has
    /// changed counts.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn keep(
        &mut self,
        object: &ObjectId,
        own: bool,
        bytes: u64,
        ends: Option<u64>,
        now: u64,
    ) -> Result<(), StoreError> {
        let ends = ends.filter(|_| !own);
        let known = self.index.get(object).await?;
        if known
            .as_ref()
            .is_some_and(|known| (known.bytes, known.ends) == (bytes, ends))
        {
            return Ok(());
        }
        let record = known.unwrap_or_else(|| Record::new(own, bytes));
        self.decide(
            object,
            Record {
                bytes,
                ends,
                ..record
            },
            now,
        );
        self.relieve().await
    }

    /// Holders of an object that an earlier version wrote down: the peer, since
    /// when, and when it last proved it.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn restore(
        &mut self,
        object: &ObjectId,
        holders: Vec<(Peer, u64, Option<u64>)>,
        now: u64,
    ) -> Result<(), StoreError> {
        if let Some(mut record) = self.index.get(object).await? {
            for (peer, since, proved) in holders {
                self.peers.meet(&peer);
                let challenge_at = now + self.config.spread(object, peer.key);
                if record.take_holder(peer.key, challenge_at, since)
                    && let Some(holder) = record.holder(peer.key)
                {
                    holder.proved = proved;
                }
            }
            self.decide(object, record, now);
        }
        self.relieve().await
    }

    /// This node does not store the object any more.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn drop_object(&mut self, object: &ObjectId) -> Result<(), StoreError> {
        self.strike(object).await?;
        self.relieve().await
    }

    /// These peers have taken the whole object, or have sent it.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn transferred(
        &mut self,
        object: &ObjectId,
        peers: &[Peer],
        now: u64,
    ) -> Result<(), StoreError> {
        peers.iter().for_each(|peer| self.is_back(peer));
        if let Some(mut record) = self.index.get(object).await? {
            self.take_holders(object, &mut record, peers, now);
            self.decide(object, record, now);
        }
        self.relieve().await
    }

    /// `source` says that these peers hold the object. They will be asked.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn hinted(
        &mut self,
        object: &ObjectId,
        peers: &[Peer],
        source: PeerKey,
    ) -> Result<(), StoreError> {
        self.hint(object, peers, Some(source)).await
    }

    /// The peer can be reached now.
    pub fn peer_up(&mut self, peer: &Peer) {
        if self.peers.is_known(peer.key) {
            self.is_back(peer);
        } else {
            self.sweeps.offer();
        }
    }

    /// The peer cannot be reached any more.
    pub fn peer_down(&mut self, peer: &Peer, now: u64) {
        if self.peers.is_up(peer.key) {
            self.peers.down(peer.key, now, &self.config);
        }
    }

    /// What came of an [`Action::Challenge`].
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn proved(
        &mut self,
        object: &ObjectId,
        peer: &Peer,
        proof: Proof,
        now: u64,
    ) -> Result<(), StoreError> {
        let cause = self.under_way.challenges.remove(&(*object, peer.key));
        if proof == Proof::Silent {
            self.peers.down(peer.key, now, &self.config);
        } else {
            self.is_back(peer);
        }
        let has_nothing = matches!(proof, Proof::Missing | Proof::Wrong);
        if has_nothing && cause == Some(Cause::Probe) {
            self.peers.doubt(peer.key);
            self.sweeps.tell(peer.key, peers::Turn::Doubted);
        }
        let Some(mut record) = self.index.get(object).await? else {
            return Ok(());
        };
        record.prove(peer, proof, self.context(now));
        if proof == Proof::Proven {
            self.peers.meet(peer);
            let next = now + self.challenge_interval() + self.config.spread(object, peer.key);
            if let Some(holder) = record.holder(peer.key) {
                holder.next_challenge = next;
            }
        }
        self.decide(object, record, now);
        self.relieve().await
    }

    /// An [`Action::Challenge`] could not be made; it is due again after a pause.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn not_challenged(
        &mut self,
        object: &ObjectId,
        peer: PeerKey,
        now: u64,
    ) -> Result<(), StoreError> {
        self.under_way.challenges.remove(&(*object, peer));
        if let Some(mut record) = self.index.get(object).await? {
            if let Some(holder) = record.holder(peer) {
                holder.next_challenge = now + self.config.first_pause;
            }
            self.index.put(object, Some(record));
        }
        self.relieve().await
    }

    /// What came of an [`Action::Search`]: peers that answered and say that
    /// they hold the object. They are asked to prove it before copies are made.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn found(&mut self, object: &ObjectId, peers: &[Peer], now: u64) -> Result<(), StoreError> {
        self.under_way.searches.remove(object);
        peers.iter().for_each(|peer| self.is_back(peer));
        let Some(mut record) = self.index.get(object).await? else {
            return Ok(());
        };
        record.searched = Some(now);
        if peers
            .iter()
            .any(|peer| record.may_hold(peer.key) && peer.key != self.me)
        {
            record.retry_at = record.retry_at.max(now + self.config.turn);
        }
        self.decide(object, record, now);
        self.hint(object, peers, None).await
    }

    /// What came of an [`Action::Place`]: peers that hold the object now, and
    /// why nobody took a copy where nobody did.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn placed(
        &mut self,
        object: &ObjectId,
        peers: &[Peer],
        not_taken: Option<NotTaken>,
        now: u64,
    ) -> Result<(), StoreError> {
        if let Some(place) = self.under_way.places.remove(object) {
            let unused = u64::from(place.copies).saturating_sub(peers.len() as u64);
            self.bytes.give_back(place.bytes.saturating_mul(unused));
        }
        peers.iter().for_each(|peer| self.is_back(peer));
        if let Some(mut record) = self.index.get(object).await? {
            self.take_holders(object, &mut record, peers, now);
            let reason = not_taken.unwrap_or(NotTaken::NoPeer);
            record.after_placing(peers.is_empty().then_some(reason), &self.config, now);
            self.decide(object, record, now);
        }
        self.relieve().await
    }

    /// Makes everything durable that has been told.
    ///
    /// # Errors
    /// Faults of the store. What was told stays, and is made durable later.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        self.peers.write(&mut self.index);
        self.index.flush().await
    }

    /// As [`Self::flush`], where much has been told.
    async fn relieve(&mut self) -> Result<(), StoreError> {
        if self.index.is_crowded() {
            self.flush().await?;
        }
        Ok(())
    }

    async fn strike(&mut self, object: &ObjectId) -> Result<(), StoreError> {
        if let Some(record) = self.index.get(object).await? {
            for holder in &record.holders {
                self.peers.release(holder.peer);
            }
            self.index.put(object, None);
        }
        Ok(())
    }

    /// Decides anew about an object that has been got, and keeps what is known of it.
    fn decide(&mut self, object: &ObjectId, mut record: Record, now: u64) {
        record.review(object, self.context(now), self.under_way.is_busy(object));
        let before = self.index.current(object).map(|before| before.holders.as_slice());
        let before: Vec<PeerKey> = before
            .unwrap_or_default()
            .iter()
            .map(|holder| holder.peer)
            .collect();
        let now: Vec<PeerKey> = record.holders.iter().map(|holder| holder.peer).collect();
        for peer in before.iter().filter(|peer| !now.contains(peer)) {
            self.peers.release(*peer);
        }
        for peer in now.iter().filter(|peer| !before.contains(peer)) {
            self.peers.hold(*peer);
        }
        if record.own && before.len() != now.len() {
            self.counts
                .insert(*object, u32::try_from(now.len()).unwrap_or(u32::MAX));
        }
        self.index.put(object, Some(record));
    }

    fn take_holders(&mut self, object: &ObjectId, record: &mut Record, peers: &[Peer], now: u64) {
        for peer in peers.iter().filter(|peer| peer.key != self.me) {
            self.peers.meet(peer);
            // It has just had the bytes; that it kept them is asked soon.
            let challenge_at = now + self.config.turn + self.config.spread(object, peer.key);
            record.take_holder(peer.key, challenge_at, now);
        }
    }

    async fn hint(
        &mut self,
        object: &ObjectId,
        peers: &[Peer],
        source: Option<PeerKey>,
    ) -> Result<(), StoreError> {
        let Some(record) = self.index.get(object).await? else {
            return Ok(());
        };
        for peer in peers {
            if peer.key != self.me && record.may_hold(peer.key) {
                self.hints.add(*object, peer.clone(), source);
            }
        }
        self.relieve().await
    }

    /// A peer can be reached that could perhaps not before.
    fn is_back(&mut self, peer: &Peer) {
        if let Some(back) = self.peers.up(peer.key, &self.config) {
            if back.is_told {
                self.sweeps.tell(peer.key, peers::Turn::Back);
            }
            self.returned.push(peer.clone());
        }
    }

    fn context(&self, now: u64) -> Context<'_> {
        Context {
            me: self.me,
            peers: &self.peers,
            config: &self.config,
            now,
        }
    }

    /// Between two challenges of one holder over one object: as configured, and
    /// longer where there is more to prove than is challenged in that time.
    fn challenge_interval(&self) -> u64 {
        let holders = self.index.totals().holders;
        let needed = holders.saturating_mul(1000) / self.config.challenges_per_second.max(1);
        self.config.challenge_interval.max(needed + needed / 4)
    }
}
