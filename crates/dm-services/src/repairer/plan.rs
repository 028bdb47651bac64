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
    ports::{KeyValueStore, StoreError},
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
mod round;
mod sweeps;
mod told;
mod under_way;
mod view;

#[cfg(test)]
mod tests;

use self::{
    bucket::Bucket, decide::Context, hints::Hints, index::Index, peers::Peers, record::Record,
    sweeps::Sweeps, under_way::UnderWay,
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
    /// Where the walk through the objects of others goes on.
    foreign_after: Option<ObjectId>,
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
            foreign_after: None,
        })
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
    fn note_return(&mut self, peer: &Peer) {
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
