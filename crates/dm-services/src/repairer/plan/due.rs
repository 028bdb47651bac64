//! What is to be done now.

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
const MAX_CHALLENGES: usize = 64;
/// Searches under way at the same time.
const MAX_SEARCHES: usize = 32;

impl RepairPlan {
    /// What is to be done now; all that led to it is durable.
    ///
    /// # Errors
    /// Faults of the store. Nothing is lost: it is due again.
    pub async fn due(&mut self, now: u64) -> Result<Vec<Action>, StoreError> {
        self.flush().await?;
        let mut actions = Vec::new();
        self.expire(now, &mut actions).await?;
        self.look_after_peers(now, &mut actions).await?;
        self.sweep(now).await?;
        self.review_due(now).await?;
        // Whoever has few copies goes first; each kind has its own budget.
        let begun = self.place(now, &mut actions).await?;
        self.note_waiting(begun, now).await?;
        self.search(now, &mut actions).await?;
        self.follow_hints(now, &mut actions).await?;
        self.challenge(now, &mut actions).await?;
        self.flush().await?;
        actions.extend(
            self.counts
                .drain()
                .map(|(object, replicas)| Action::Count { object, replicas }),
        );
        Ok(actions)
    }

    /// When [`RepairPlan::due`] has something to do, as far as that is known.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn next_due(&mut self, now: u64) -> Result<Option<u64>, StoreError> {
        self.flush().await?;
        let mut times = vec![
            self.sweeps.next_due(now),
            self.peers.next_due(),
            self.index.next(keys::REVIEW).await?,
            self.index.next(keys::END).await?,
        ];
        if self.under_way.challenges.len() < MAX_CHALLENGES {
            let challenge = self.index.next(keys::CHALLENGE).await?;
            times.push(challenge.map(|at| self.challenges.next(at)));
            times.push((!self.hints.is_empty()).then(|| self.challenges.next(now)));
        }
        if self.under_way.searches.len() < MAX_SEARCHES && !self.is_idle(Step::Search).await? {
            times.push(Some(self.searches.next(now)));
        }
        if self.under_way.places.len() < self.config.places && !self.is_idle(Step::Place).await? {
            times.push(Some(self.bytes.next(now)));
        }
        Ok(times.into_iter().flatten().min())
    }

    async fn is_idle(&mut self, step: Step) -> Result<bool, StoreError> {
        Ok(self.index.waiting(step, 1).await?.is_empty())
    }

    /// Takes out whose time is over, before anything else is done for them.
    async fn expire(&mut self, now: u64, actions: &mut Vec<Action>) -> Result<(), StoreError> {
        for (at, object) in self.index.due(keys::END, now, MAX_ACTIONS).await? {
            match self.index.get(&object).await? {
                Some(record) if record.ends == Some(at) => {
                    self.strike(&object).await?;
                    actions.push(Action::Expire { object });
                }
                _ => self.index.put_other(keys::timed(keys::END, at, &object), None),
            }
        }
        Ok(())
    }

    async fn look_after_peers(&mut self, now: u64, actions: &mut Vec<Action>) -> Result<(), StoreError> {
        while actions.len() < MAX_ACTIONS
            && let Some((peer, due)) = self.peers.due(now, &self.config)
        {
            match due {
                PeerDue::Tell(turn) => self.sweeps.tell(peer, turn),
                PeerDue::Probe => {
                    let Some(peer) = self.peers.name(peer) else {
                        continue;
                    };
                    self.probe(&peer, 1, now, actions).await?;
                }
            }
        }
        for peer in std::mem::take(&mut self.returned) {
            self.probe(&peer, SAMPLES, now, actions).await?;
        }
        Ok(())
    }

    /// Has a peer prove that it holds some of its objects, those that follow a
    /// place which depends on the time.
    async fn probe(
        &mut self,
        peer: &Peer,
        samples: usize,
        now: u64,
        actions: &mut Vec<Action>,
    ) -> Result<(), StoreError> {
        let place = ObjectId {
            locator: DataHash::of(&now.to_be_bytes()).locator(),
            owner: Address::ZERO,
        };
        let mut objects = self.index.held_by(peer.key, Some(&place), samples).await?;
        if objects.len() < samples {
            let first = self.index.held_by(peer.key, None, samples).await?;
            objects.extend(first);
            objects.sort_unstable();
            objects.dedup();
            objects.truncate(samples);
        }
        for object in objects {
            self.ask(object, peer.clone(), Cause::Probe, actions).await?;
        }
        Ok(())
    }

    async fn review_due(&mut self, now: u64) -> Result<(), StoreError> {
        for (at, object) in self.index.due(keys::REVIEW, now, MAX_ACTIONS).await? {
            match self.index.get(&object).await? {
                Some(record) if record.review_at.is_some_and(|at| at <= now) => {
                    self.decide(&object, record, now);
                }
                Some(record) if record.review_at == Some(at) => {}
                _ => self.index.put_other(keys::timed(keys::REVIEW, at, &object), None),
            }
        }
        Ok(())
    }

    /// Begins the most urgent copies, within the limits; whether there were any.
    async fn place(&mut self, now: u64, actions: &mut Vec<Action>) -> Result<bool, StoreError> {
        let mut begun = false;
        for object in self.index.waiting(Step::Place, self.config.places).await? {
            if self.under_way.places.len() >= self.config.places || !self.bytes.has_any(now) {
                break;
            }
            let Some(mut record) = self.index.get(&object).await? else {
                continue;
            };
            if record.waits.is_none_or(|waits| waits.what != Step::Place) {
                continue;
            }
            let context = self.context(now);
            let missing = record.wanted(&self.config).saturating_sub(record.live(context));
            let avoid = record.avoid(context);
            if missing > 0 {
                let charge = record.bytes.saturating_mul(u64::from(missing));
                self.bytes.take(charge);
                let bytes = record.bytes;
                self.under_way.places.insert(
                    object,
                    Placing {
                        copies: missing,
                        bytes,
                    },
                );
                actions.push(Action::Place {
                    object,
                    copies: missing,
                    avoid,
                });
                begun = true;
            }
            self.decide(&object, record, now);
        }
        Ok(begun)
    }

    async fn note_waiting(&mut self, has_begun: bool, now: u64) -> Result<(), StoreError> {
        let is_waiting = !self.is_idle(Step::Place).await?;
        self.waiting_since = match self.waiting_since {
            _ if !is_waiting => None,
            Some(since) if !has_begun => Some(since),
            _ => Some(now),
        };
        Ok(())
    }

    async fn search(&mut self, now: u64, actions: &mut Vec<Action>) -> Result<(), StoreError> {
        for object in self.index.waiting(Step::Search, MAX_SEARCHES).await? {
            if self.under_way.searches.len() >= MAX_SEARCHES || !self.searches.has_any(now) {
                break;
            }
            let Some(record) = self.index.get(&object).await? else {
                continue;
            };
            if record.waits.is_none_or(|waits| waits.what != Step::Search) {
                continue;
            }
            self.searches.take(1);
            self.under_way.searches.insert(object);
            actions.push(Action::Search { object });
            self.decide(&object, record, now);
        }
        Ok(())
    }

    /// Asks who is said to hold an object, with at most half of the budget of
    /// challenges where others are due.
    async fn follow_hints(&mut self, now: u64, actions: &mut Vec<Action>) -> Result<(), StoreError> {
        let mut asked = 0;
        while asked < MAX_CHALLENGES / 2
            && self.under_way.challenges.len() < MAX_CHALLENGES
            && self.challenges.has_any(now)
            && let Some((object, peer)) = self.hints.next()
        {
            let record = self.index.get(&object).await?;
            if record.is_some_and(|record| record.may_hold(peer.key)) {
                self.ask(object, peer, Cause::Hint, actions).await?;
                asked += 1;
            }
        }
        Ok(())
    }

    async fn challenge(&mut self, now: u64, actions: &mut Vec<Action>) -> Result<(), StoreError> {
        if !self.can_challenge(now) {
            return Ok(());
        }
        for (at, object) in self.index.due(keys::CHALLENGE, now, MAX_CHALLENGES).await? {
            if !self.can_challenge(now) {
                break;
            }
            match self.index.get(&object).await? {
                Some(record) if record.next_challenge().is_some_and(|at| at <= now) => {
                    self.challenge_holders(object, record, now, actions).await?;
                }
                Some(record) if record.next_challenge() == Some(at) => {}
                _ => self
                    .index
                    .put_other(keys::timed(keys::CHALLENGE, at, &object), None),
            }
        }
        Ok(())
    }

    fn can_challenge(&mut self, now: u64) -> bool {
        self.under_way.challenges.len() < MAX_CHALLENGES && self.challenges.has_any(now)
    }

    /// Challenges the holders of an object whose time has come. Those that are
    /// away are probed by themselves.
    async fn challenge_holders(
        &mut self,
        object: ObjectId,
        mut record: Record,
        now: u64,
        actions: &mut Vec<Action>,
    ) -> Result<(), StoreError> {
        let mut asked = Vec::new();
        let interval = self.challenge_interval();
        for holder in record
            .holders
            .iter_mut()
            .filter(|holder| holder.next_challenge <= now)
        {
            holder.next_challenge = now + interval + self.config.spread(&object, holder.peer);
            if self.peers.is_up(holder.peer) {
                asked.extend(self.peers.name(holder.peer));
            }
        }
        self.index.put(&object, Some(record));
        for peer in asked {
            self.ask(object, peer, Cause::Due, actions).await?;
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        object: ObjectId,
        peer: Peer,
        cause: Cause,
        actions: &mut Vec<Action>,
    ) -> Result<(), StoreError> {
        let question = (object, peer.key);
        if self.under_way.challenges.contains_key(&question) {
            return Ok(());
        }
        self.challenges.take(1);
        self.under_way.challenges.insert(question, cause);
        let holders = self.index.get(&object).await?.map(|record| record.holders);
        let known = holders.unwrap_or_default();
        actions.push(Action::Challenge {
            object,
            peer,
            known: known
                .iter()
                .filter_map(|holder| self.peers.name(holder.peer))
                .collect(),
        });
        Ok(())
    }
}
