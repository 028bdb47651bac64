//! Does what the plan says.

use std::{sync::Arc, time::Duration};

use dm_core::{
    clock::now_ms,
    envelope::ObjectId,
    ports::{Challenged, NetworkError, StoreError},
};
use tokio::sync::Semaphore;

use super::{
    Repairer,
    holder_index::Line,
    plan::{Action, PeerKey, Proof},
};

/// Challenges and searches under way at the same time.
const MAX_QUESTIONS: usize = 64;
/// The clock of the machine may be set: it is looked at again after this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// At least this long between two rounds, so that what is written down is
/// written together.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);

impl Repairer {
    pub(super) async fn act(&self) -> Result<(), StoreError> {
        let questions = Arc::new(Semaphore::new(MAX_QUESTIONS));
        loop {
            let actions = self.plan().due(now_ms());
            let mut changed = Vec::new();
            for action in actions {
                match action {
                    Action::Record { object } => changed.push(object),
                    action => self.begin(action, &questions),
                }
            }
            self.write_down(changed).await?;
            self.sleep().await;
        }
    }

    /// Sleeps until the plan has something to do, or the bell rings.
    async fn sleep(&self) {
        tokio::time::sleep(SHORTEST_SLEEP).await;
        let now = now_ms();
        let next = self.plan().next_due(now);
        let pause = next.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.saturating_sub(now)));
        // That nobody rings is no failure.
        let _ = tokio::time::timeout(pause.min(LONGEST_SLEEP), self.inner.bell.notified()).await;
    }

    /// Does an action in a task of its own and tells the plan what came of it.
    fn begin(&self, action: Action, questions: &Arc<Semaphore>) {
        let repairer = self.clone();
        let questions = questions.clone();
        tokio::spawn(async move {
            let _permit = match action {
                Action::Place { .. } => None,
                _ => questions.acquire().await.ok(),
            };
            match action {
                Action::Challenge { object, peer } => repairer.challenge(&object, peer).await,
                Action::Search { object } => repairer.search(&object).await,
                Action::Place {
                    object,
                    copies,
                    avoid,
                } => repairer.place(&object, copies, avoid).await,
                Action::Expire { object } => repairer.expire(&object).await,
                Action::Record { .. } => {}
            }
            repairer.inner.bell.notify_one();
        });
    }

    async fn challenge(&self, object: &ObjectId, peer: PeerKey) {
        let Some(name) = self.name(peer) else {
            return self.plan().proved(object, peer, Proof::Silent, now_ms());
        };
        let known = self.plan().record(object).unwrap_or_default();
        let known = self.names(known.into_iter().map(|holder| holder.peer));
        let challenged = self
            .inner
            .ports
            .replication
            .challenge(&name, object, &known)
            .await;
        let proof = match challenged {
            Ok(Challenged::Proven) => Proof::Proven,
            Ok(Challenged::Missing) => Proof::Missing,
            Ok(Challenged::Wrong) => Proof::Wrong,
            Ok(Challenged::Silent) => Proof::Silent,
            Err(error) => {
                self.plan().not_challenged(object, peer, now_ms());
                return self.check_presence(object, &error).await;
            }
        };
        if proof != Proof::Proven {
            tracing::info!(peer = name, locator = %object.locator, ?proof, "a holder did not prove its copy");
        }
        self.plan().proved(object, peer, proof, now_ms());
    }

    /// Deletes a copy whose time is over, by the envelope that is stored now.
    async fn expire(&self, object: &ObjectId) {
        if let Err(error) = self.end_copy(object).await {
            tracing::warn!(locator = %object.locator, %error, "an expired copy was not deleted");
        }
    }

    async fn end_copy(&self, object: &ObjectId) -> Result<(), StoreError> {
        let objects = &self.inner.ports.objects;
        match objects.envelope(object).await? {
            Some(envelope) if envelope.is_expired(now_ms()) => {
                objects.remove(object).await?;
                tracing::info!(locator = %object.locator, "deleted an expired copy");
            }
            _ => {
                self.keep(object).await?;
            }
        }
        Ok(())
    }

    async fn search(&self, object: &ObjectId) {
        let found = self.inner.ports.replication.search(object).await;
        let holders = self.keys(&found.unwrap_or_default());
        self.plan().found(object, &holders, now_ms());
    }

    async fn place(&self, object: &ObjectId, copies: u32, avoid: Vec<PeerKey>) {
        let avoid = self.names(avoid);
        let placed = self
            .inner
            .ports
            .replication
            .place(object, copies as usize, &avoid)
            .await;
        let holders = match &placed {
            Ok(report) => self.keys(&report.holders),
            Err(_) => Vec::new(),
        };
        tracing::info!(locator = %object.locator, copies, made = holders.len(), "made copies of an object");
        self.plan().placed(object, &holders, now_ms());
        if let Err(error) = placed {
            self.check_presence(object, &error).await;
        }
    }

    /// An object that is not stored any more is not looked after any more.
    async fn check_presence(&self, object: &ObjectId, error: &NetworkError) {
        if !matches!(error, NetworkError::Local(_)) {
            return;
        }
        match self.inner.ports.objects.envelope(object).await {
            Ok(None) => self.plan().drop_object(object),
            Ok(Some(_)) => {
                tracing::warn!(locator = %object.locator, %error, "a stored object cannot be looked after");
            }
            Err(error) => tracing::warn!(locator = %object.locator, %error, "the store failed"),
        }
    }

    /// Writes down who holds the objects, and tells the catalog of shares of
    /// this node's own ones.
    async fn write_down(&self, objects: Vec<ObjectId>) -> Result<(), StoreError> {
        let mut pages = Vec::with_capacity(objects.len());
        for id in &objects {
            let holders = self.plan().record(id);
            let lines = holders.map(|holders| {
                let lines = holders.into_iter().filter_map(|holder| {
                    let line: Line = (self.name(holder.peer)?, holder.since, holder.proved);
                    Some(line)
                });
                lines.collect::<Vec<_>>()
            });
            pages.push((*id, lines));
        }
        self.inner.ports.holders.write(pages).await?;
        for id in objects.iter().filter(|id| id.owner == self.inner.own) {
            self.count_replicas(id).await?;
        }
        Ok(())
    }

    async fn count_replicas(&self, id: &ObjectId) -> Result<(), StoreError> {
        let ports = &self.inner.ports;
        let Some(holders) = self.plan().record(id).map(|holders| holders.len()) else {
            return Ok(());
        };
        let envelope = match ports.objects.envelope(id).await {
            Ok(Some(envelope)) => envelope,
            // Removed meanwhile; or damaged, which costs this object only.
            Ok(None) | Err(StoreError::Corrupt(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let replicas = u32::try_from(holders).unwrap_or(u32::MAX);
        let counted = match ports.shares.replicas(id).await {
            // A newer envelope that nobody has yet is still owed to all of them.
            Ok(Some((known, sequence))) if sequence == envelope.sequence && known > 0 => {
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
