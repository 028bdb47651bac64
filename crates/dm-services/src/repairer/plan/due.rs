//! What is to be done now.

use dm_core::ports::StoreError;

use super::{
    Action, RepairPlan,
    record::{Step, keys},
    round::{MAX_CHALLENGES, MAX_SEARCHES, Round},
};

impl RepairPlan {
    /// What is to be done now; all that led to it is durable.
    ///
    /// # Errors
    /// Faults of the store. Nothing is lost: it is due again.
    pub async fn due(&mut self, now: u64) -> Result<Vec<Action>, StoreError> {
        self.flush().await?;
        let mut actions = Round::new(self, now).run().await?;
        self.flush().await?;
        actions.extend(
            self.counts
                .drain()
                .map(|(object, replicas)| Action::Count { object, replicas }),
        );
        Ok(actions)
    }

    /// The part of [`RepairPlan::due`] that a node can do that reaches no peer.
    ///
    /// # Errors
    /// Faults of the store. Nothing is lost: it is due again.
    pub async fn due_alone(&mut self, now: u64) -> Result<Vec<Action>, StoreError> {
        self.flush().await?;
        let actions = Round::new(self, now).run_alone().await?;
        self.flush().await?;
        Ok(actions)
    }

    /// When [`RepairPlan::due_alone`] has something to do.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn next_due_alone(&mut self) -> Result<Option<u64>, StoreError> {
        self.flush().await?;
        self.index.next(keys::END).await
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
        if self.under_way.searches.len() < MAX_SEARCHES && self.index.has_waiting(Step::Search).await? {
            times.push(Some(self.searches.next(now)));
        }
        if self.under_way.places.len() < self.config.places && self.index.has_waiting(Step::Place).await? {
            times.push(Some(self.bytes.next(now)));
        }
        Ok(times.into_iter().flatten().min())
    }
}
