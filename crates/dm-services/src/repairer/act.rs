//! Does what the plan says.

use std::{sync::atomic::Ordering, time::Duration};

use dm_core::{
    clock::now_ms,
    envelope::ObjectId,
    lease::in_same_epoch,
    ports::{Challenged, NetworkError, NotTaken, StoreError},
};
use tokio::task::JoinSet;

use super::{
    Repairer,
    plan::{Action, Peer, Proof},
};

/// The clock of the machine may be set: it is looked at again after this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// At least this long between two rounds, so that what is written down is
/// written together.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);

impl Repairer {
    pub(super) async fn act(&self) -> Result<(), StoreError> {
        // They end with the run: what comes of them belongs to its plan.
        let mut under_way = JoinSet::new();
        loop {
            let actions = self.due(now_ms()).await?;
            for action in actions {
                match action {
                    Action::Count { object, replicas } => self.count_replicas(&object, replicas).await?,
                    action => self.begin(action, &mut under_way),
                }
            }
            while under_way.try_join_next().is_some() {}
            self.sleep().await?;
        }
    }

    /// What is to be done, of which a node without peers can do but a part.
    async fn due(&self, now: u64) -> Result<Vec<Action>, StoreError> {
        let mut plan = self.plan().await?;
        match self.is_alone() {
            true => plan.due_alone(now).await,
            false => plan.due(now).await,
        }
    }

    fn is_alone(&self) -> bool {
        self.inner.is_alone.load(Ordering::Relaxed)
    }

    /// Sleeps until the plan has something to do, or the bell rings.
    async fn sleep(&self) -> Result<(), StoreError> {
        tokio::time::sleep(SHORTEST_SLEEP).await;
        let now = now_ms();
        let mut plan = self.plan().await?;
        let next = match self.is_alone() {
            true => plan.next_due_alone().await?,
            false => plan.next_due(now).await?,
        };
        drop(plan);
        let pause = next.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.saturating_sub(now)));
        // That nobody rings is no failure.
        let _ = tokio::time::timeout(pause.min(LONGEST_SLEEP), self.inner.bell.notified()).await;
        Ok(())
    }

    /// Does an action in a task of its own and tells the plan what came of it.
    /// The plan bounds how many are under way.
    fn begin(&self, action: Action, under_way: &mut JoinSet<()>) {
        let repairer = self.clone();
        under_way.spawn(in_same_epoch(async move {
            let done = match action {
                Action::Challenge { object, peer, known } => repairer.challenge(&object, &peer, &known).await,
                Action::Search { object } => repairer.search(&object).await,
                Action::Place {
                    object,
                    copies,
                    avoid,
                } => repairer.place(&object, copies, &avoid).await,
                Action::Expire { object } => repairer.expire(&object).await,
                Action::Count { .. } => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(%error, "what came of a step of repair was not noted");
            }
            repairer.inner.bell.notify_one();
        }));
    }

    async fn challenge(&self, object: &ObjectId, peer: &Peer, known: &[Peer]) -> Result<(), StoreError> {
        let replication = &self.inner.ports.replication;
        let challenged = replication.challenge(&peer.name, object, &names(known)).await;
        let proof = match challenged {
            Ok(Challenged::Proven) => Proof::Proven,
            Ok(Challenged::Missing) => Proof::Missing,
            Ok(Challenged::Wrong) => Proof::Wrong,
            Ok(Challenged::Silent) => Proof::Silent,
            Err(error) => {
                let mut plan = self.plan().await?;
                plan.not_challenged(object, peer.key, now_ms()).await?;
                drop(plan);
                return self.check_presence(object, &error).await;
            }
        };
        self.inner.meter.challenged(proof);
        if proof != Proof::Proven {
            tracing::info!(peer = %peer.name, locator = %object.locator, ?proof, "a peer did not prove its copy");
        }
        self.plan().await?.proved(object, peer, proof, now_ms()).await
    }

    /// Deletes a copy whose time is over, by the envelope that is stored now.
    async fn expire(&self, object: &ObjectId) -> Result<(), StoreError> {
        let objects = &self.inner.ports.objects;
        match objects.envelope(object).await? {
            Some(envelope) if self.end_of(&envelope).is_some_and(|end| end <= now_ms()) => {
                objects.remove(object).await?;
                tracing::info!(locator = %object.locator, "deleted a copy whose time is over");
            }
            _ => {
                self.keep(object).await?;
            }
        }
        Ok(())
    }

    async fn search(&self, object: &ObjectId) -> Result<(), StoreError> {
        let found = self.inner.ports.replication.search(object).await;
        let holders: Vec<Peer> = found
            .unwrap_or_default()
            .iter()
            .map(|name| Peer::named(name))
            .collect();
        self.plan().await?.found(object, &holders, now_ms()).await
    }

    async fn place(&self, object: &ObjectId, copies: u32, avoid: &[Peer]) -> Result<(), StoreError> {
        let replication = &self.inner.ports.replication;
        let placed = replication.place(object, copies as usize, &names(avoid)).await;
        self.inner.meter.placed(copies, &placed);
        let (holders, not_taken) = match &placed {
            Ok(report) => (report.holders.as_slice(), report.not_taken),
            Err(NetworkError::Local(_)) => (&[][..], Some(NotTaken::Unreadable)),
            Err(_) => (&[][..], Some(NotTaken::Unreachable)),
        };
        tracing::info!(locator = %object.locator, copies, made = holders.len(), "made copies of an object");
        let holders: Vec<Peer> = holders.iter().map(|name| Peer::named(name)).collect();
        let mut plan = self.plan().await?;
        plan.placed(object, &holders, not_taken, now_ms()).await?;
        drop(plan);
        match placed {
            Ok(_) => Ok(()),
            Err(error) => self.check_presence(object, &error).await,
        }
    }

    /// An object that is not stored any more is not looked after any more.
    async fn check_presence(&self, object: &ObjectId, error: &NetworkError) -> Result<(), StoreError> {
        if matches!(error, NetworkError::Local(_)) && self.keep_readable(object).await?.is_some() {
            tracing::warn!(locator = %object.locator, %error, "a stored object cannot be looked after");
        }
        Ok(())
    }

    /// Tells the catalog of shares how many peers hold one of this node's own objects.
    async fn count_replicas(&self, id: &ObjectId, replicas: u32) -> Result<(), StoreError> {
        let ports = &self.inner.ports;
        let envelope = match ports.objects.envelope(id).await {
            Ok(Some(envelope)) => envelope,
            // Removed meanwhile; or damaged, which costs this object only.
            Ok(None) | Err(StoreError::Corrupt(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let counted = match ports.shares.replicas(id).await {
            // A newer envelope that nobody has yet is still owed to all of them.
            Ok(Some((known, sequence)))
                if sequence == envelope.sequence && known > 0 && known != replicas =>
            {
                ports.shares.set_replicas(id, sequence, replicas).await
            }
            other => other.map(drop),
        };
        // The count is for people; copies are made without it.
        if let Err(error) = counted {
            tracing::warn!(locator = %id.locator, %error, "the number of copies was not written down");
        }
        Ok(())
    }
}

fn names(peers: &[Peer]) -> Vec<String> {
    peers.iter().map(|peer| peer.name.to_string()).collect()
}
