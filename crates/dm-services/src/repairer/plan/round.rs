//! One look at everything that is due.

use alloy_primitives::Address;
use dm_core::{envelope::ObjectId, hash::DataHash, ports::StoreError};

use super::{
    Action, MAX_ACTIONS, Peer, RepairPlan,
    peers::PeerDue,
    record::{Record, Step, keys},
    under_way::{Cause, Placing},
};

/// Objects of a peer that is back which it is to prove at once.
const SAMPLES: usize = 4;
/// Challenges under way at the same time.
pub(super) const MAX_CHALLENGES: usize = 64;
/// Searches under way at the same time.
pub(super) const MAX_SEARCHES: usize = 32;

/// One look at everything that is due.
pub(super) struct Round<'a> {
    pub(super) plan: &'a mut RepairPlan,
    pub(super) now: u64,
    actions: Vec<Action>,
}

impl<'a> Round<'a> {
    pub(super) fn new(plan: &'a mut RepairPlan, now: u64) -> Self {
        Self {
            plan,
            now,
            actions: Vec::new(),
        }
    }

    /// What is to be done.
    ///
    /// # Errors
    /// Faults of the store.
    pub(super) async fn run(mut self) -> Result<Vec<Action>, StoreError> {
        self.expire().await?;
        self.look_after_peers().await?;
        self.sweep().await?;
        self.review_due().await?;
        // Whoever has few copies goes first; each kind has its own budget.
        let begun = self.place().await?;
        self.note_waiting(begun).await?;
        self.search().await?;
        self.follow_hints().await?;
        self.challenge().await?;
        Ok(self.actions)
    }

    /// What of it needs no peers: copies whose time is over.
    ///
    /// # Errors
    /// Faults of the store.
    pub(super) async fn run_alone(mut self) -> Result<Vec<Action>, StoreError> {
        self.expire().await?;
        Ok(self.actions)
    }

    /// Takes out whose time is over, before anything else is done for them.
    async fn expire(&mut self) -> Result<(), StoreError> {
        for (at, object) in self.plan.index.due(keys::END, self.now, MAX_ACTIONS).await? {
            match self.plan.index.get(&object).await? {
                Some(record) if record.ends == Some(at) => {
                    self.plan.strike(&object).await?;
                    self.actions.push(Action::Expire { object });
                }
                _ => self
                    .plan
                    .index
                    .put_other(keys::timed(keys::END, at, &object), None),
            }
        }
        Ok(())
    }

    async fn look_after_peers(&mut self) -> Result<(), StoreError> {
        while self.actions.len() < MAX_ACTIONS
            && let Some((peer, due)) = self.plan.peers.due(self.now, &self.plan.config)
        {
            match due {
                PeerDue::Tell(turn) => self.plan.sweeps.tell(peer, turn),
                PeerDue::Probe => {
                    let Some(peer) = self.plan.peers.name(peer) else {
                        continue;
                    };
                    self.probe(&peer, 1).await?;
                }
            }
        }
        for peer in std::mem::take(&mut self.plan.returned) {
            self.probe(&peer, SAMPLES).await?;
        }
        Ok(())
    }

    /// Has a peer prove that it holds some of its objects, those that follow a
    /// place which depends on the time.
    async fn probe(&mut self, peer: &Peer, samples: usize) -> Result<(), StoreError> {
        let place = ObjectId {
            locator: DataHash::of(&self.now.to_be_bytes()).locator(),
            owner: Address::ZERO,
        };
        let mut objects = self.plan.index.held_by(peer.key, Some(&place), samples).await?;
        if objects.len() < samples {
            let first = self.plan.index.held_by(peer.key, None, samples).await?;
            objects.extend(first);
            objects.sort_unstable();
            objects.dedup();
            objects.truncate(samples);
        }
        for object in objects {
            self.ask(object, peer.clone(), Cause::Probe).await?;
        }
        Ok(())
    }

    async fn review_due(&mut self) -> Result<(), StoreError> {
        for (at, object) in self.plan.index.due(keys::REVIEW, self.now, MAX_ACTIONS).await? {
            match self.plan.index.get(&object).await? {
                Some(record) if record.review_at.is_some_and(|at| at <= self.now) => {
                    self.plan.decide(&object, record, self.now);
                }
                Some(record) if record.review_at == Some(at) => {}
                _ => self
                    .plan
                    .index
                    .put_other(keys::timed(keys::REVIEW, at, &object), None),
            }
        }
        Ok(())
    }

    /// Begins the most urgent copies, within the limits; whether there were any.
    async fn place(&mut self) -> Result<bool, StoreError> {
        let mut begun = false;
        for object in self
            .plan
            .index
            .waiting(Step::Place, self.plan.config.places)
            .await?
        {
            if self.plan.under_way.places.len() >= self.plan.config.places
                || !self.plan.bytes.has_any(self.now)
            {
                break;
            }
            let Some(mut record) = self.plan.index.get(&object).await? else {
                continue;
            };
            if record.waits.is_none_or(|waits| waits.what != Step::Place) {
                continue;
            }
            let context = self.plan.context(self.now);
            let missing = record
                .wanted(&self.plan.config)
                .saturating_sub(record.live(context));
            let avoid = record.avoid(context);
            if missing > 0 {
                let charge = record.bytes.saturating_mul(u64::from(missing));
                self.plan.bytes.take(charge, self.now);
                let bytes = record.bytes;
                self.plan.under_way.places.insert(
                    object,
                    Placing {
                        copies: missing,
                        bytes,
                    },
                );
                self.actions.push(Action::Place {
                    object,
                    copies: missing,
                    avoid,
                });
                begun = true;
            }
            self.plan.decide(&object, record, self.now);
        }
        Ok(begun)
    }

    async fn note_waiting(&mut self, has_begun: bool) -> Result<(), StoreError> {
        let is_waiting = self.plan.index.has_waiting(Step::Place).await?;
        self.plan.waiting_since = match self.plan.waiting_since {
            _ if !is_waiting => None,
            Some(since) if !has_begun => Some(since),
            _ => Some(self.now),
        };
        Ok(())
    }

    async fn search(&mut self) -> Result<(), StoreError> {
        for object in self.plan.index.waiting(Step::Search, MAX_SEARCHES).await? {
            if self.plan.under_way.searches.len() >= MAX_SEARCHES || !self.plan.searches.has_any(self.now) {
                break;
            }
            let Some(record) = self.plan.index.get(&object).await? else {
                continue;
            };
            if record.waits.is_none_or(|waits| waits.what != Step::Search) {
                continue;
            }
            self.plan.searches.take(1, self.now);
            self.plan.under_way.searches.insert(object);
            self.actions.push(Action::Search { object });
            self.plan.decide(&object, record, self.now);
        }
        Ok(())
    }

    /// Asks who is said to hold an object, with at most half of the budget of
    /// challenges where others are due.
    async fn follow_hints(&mut self) -> Result<(), StoreError> {
        let mut asked = 0;
        while asked < MAX_CHALLENGES / 2
            && self.plan.under_way.challenges.len() < MAX_CHALLENGES
            && self.plan.challenges.has_any(self.now)
            && let Some((object, peer)) = self.plan.hints.next()
        {
            let record = self.plan.index.get(&object).await?;
            if record.is_some_and(|record| record.may_hold(peer.key)) {
                self.ask(object, peer, Cause::Hint).await?;
                asked += 1;
            }
        }
        Ok(())
    }

    async fn challenge(&mut self) -> Result<(), StoreError> {
        if !self.can_challenge() {
            return Ok(());
        }
        for (at, object) in self
            .plan
            .index
            .due(keys::CHALLENGE, self.now, MAX_CHALLENGES)
            .await?
        {
            if !self.can_challenge() {
                break;
            }
            match self.plan.index.get(&object).await? {
                Some(record) if record.next_challenge().is_some_and(|at| at <= self.now) => {
                    self.challenge_holders(object, record).await?;
                }
                Some(record) if record.next_challenge() == Some(at) => {}
                _ => self
                    .plan
                    .index
                    .put_other(keys::timed(keys::CHALLENGE, at, &object), None),
            }
        }
        Ok(())
    }

    fn can_challenge(&self) -> bool {
        self.plan.under_way.challenges.len() < MAX_CHALLENGES && self.plan.challenges.has_any(self.now)
    }

    /// Challenges the holders of an object whose time has come. Those that are
    /// away are probed by themselves.
    async fn challenge_holders(&mut self, object: ObjectId, mut record: Record) -> Result<(), StoreError> {
        let mut asked = Vec::new();
        let interval = self.plan.challenge_interval();
        for holder in record
            .holders
            .iter_mut()
            .filter(|holder| holder.next_challenge <= self.now)
        {
            holder.next_challenge = self.now + interval + self.plan.config.spread(&object, holder.peer);
            if self.plan.peers.is_up(holder.peer) {
                asked.extend(self.plan.peers.name(holder.peer));
            }
        }
        self.plan.index.put(&object, Some(record));
        for peer in asked {
            self.ask(object, peer, Cause::Due).await?;
        }
        Ok(())
    }

    async fn ask(&mut self, object: ObjectId, peer: Peer, cause: Cause) -> Result<(), StoreError> {
        let question = (object, peer.key);
        if self.plan.under_way.challenges.contains_key(&question) {
            return Ok(());
        }
        self.plan.challenges.take(1, self.now);
        self.plan.under_way.challenges.insert(question, cause);
        let holders = self.plan.index.get(&object).await?.map(|record| record.holders);
        let known = holders.unwrap_or_default();
        self.actions.push(Action::Challenge {
            object,
            peer,
            known: known
                .iter()
                .filter_map(|holder| self.plan.peers.name(holder.peer))
                .collect(),
        });
        Ok(())
    }
}
