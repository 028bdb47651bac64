//! What the plan is told: by the store, the network and those who do what it says.

use dm_core::{
    envelope::ObjectId,
    ports::{NotTaken, StoreError},
};

use super::{Peer, PeerKey, Proof, RepairPlan, peers::Turn, record::Record, under_way::Cause};

impl RepairPlan {
    /// This node stores an object of this many bytes, which is let go at `ends`, or
    /// never. Told again, only what has changed counts.
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
        peers.iter().for_each(|peer| self.note_return(peer));
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
            self.note_return(peer);
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

    /// What came of an [`Action::Challenge`](super::Action::Challenge).
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
            self.note_return(peer);
        }
        let has_nothing = matches!(proof, Proof::Missing | Proof::Wrong);
        if has_nothing && cause == Some(Cause::Probe) {
            self.peers.doubt(peer.key);
            self.sweeps.tell(peer.key, Turn::Doubted);
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

    /// An [`Action::Challenge`](super::Action::Challenge) could not be made; it is due again after a pause.
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

    /// What came of an [`Action::Search`](super::Action::Search): peers that answered and say that
    /// they hold the object. They are asked to prove it before copies are made.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn found(&mut self, object: &ObjectId, peers: &[Peer], now: u64) -> Result<(), StoreError> {
        self.under_way.searches.remove(object);
        peers.iter().for_each(|peer| self.note_return(peer));
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

    /// What came of an [`Action::Place`](super::Action::Place): peers that hold the object now, and
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
        peers.iter().for_each(|peer| self.note_return(peer));
        if let Some(mut record) = self.index.get(object).await? {
            self.take_holders(object, &mut record, peers, now);
            let reason = not_taken.unwrap_or(NotTaken::NoPeer);
            record.after_placing(peers.is_empty().then_some(reason), &self.config, now);
            self.decide(object, record, now);
        }
        self.relieve().await
    }
}
