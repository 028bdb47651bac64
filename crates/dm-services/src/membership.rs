//! Which instances the node has, this one among them.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dm_core::{
    clock::now_ms,
    instance::{Instance, InstanceId, SeenInstance},
    ports::{CatalogError, Instances, Leases},
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// Between two signs of life.
const SIGN_INTERVAL: Duration = Duration::from_secs(5);
/// Milliseconds after its last sign of life from which an instance counts as silent.
const SILENT_AFTER_MS: u64 = 15_000;

/// An instance, as it is shown. Times are milliseconds since the Unix epoch, by the clock of
/// the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedInstance {
    /// Its name, which is another one after each start.
    pub id: String,
    /// The version of its program.
    pub version: String,
    /// Its libp2p peer id, where it takes part in the network.
    pub peer_id: Option<String>,
    /// When it was first seen.
    pub started_at: u64,
    /// When it was last seen.
    pub seen_at: u64,
    /// Whether it has the lease of the leader.
    pub leader: bool,
}

/// The instances of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceList {
    /// Those that have not left, in the order in which they were first seen.
    pub instances: Vec<ListedInstance>,
    /// The epoch of the lease, where somebody has it and there may be several instances.
    pub epoch: Option<u64>,
}

/// How many instances there are, and whether this one leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceTotals {
    /// Those that have lately given a sign of life.
    pub there: u64,
    /// Those that have not, and have not left.
    pub silent: u64,
    /// Whether this instance has the lease of the leader.
    pub leads: bool,
}

/// Gives signs of life of this instance, and lists all. Cheap to clone.
#[derive(Clone)]
pub struct Membership {
    inner: Arc<Inner>,
}

struct Inner {
    own: Instance,
    /// By the clock of this machine.
    started_at: u64,
    /// Where the node may have several instances.
    others: Option<Others>,
    is_refused: AtomicBool,
}

struct Others {
    instances: Arc<dyn Instances>,
    leases: Arc<dyn Leases>,
}

impl Membership {
    /// Of a node that is one instance: nothing is written, and it leads.
    pub fn alone(own: Instance) -> Self {
        Self::new(own, None)
    }

    /// Of a node that may have several instances.
    pub fn among(own: Instance, instances: Arc<dyn Instances>, leases: Arc<dyn Leases>) -> Self {
        Self::new(own, Some(Others { instances, leases }))
    }

    fn new(own: Instance, others: Option<Others>) -> Self {
        Self {
            inner: Arc::new(Inner {
                own,
                started_at: now_ms(),
                others,
                is_refused: AtomicBool::new(false),
            }),
        }
    }

    /// Gives signs of life until the shutdown, and leaves then.
    ///
    /// # Errors
    /// Never; what fails is tried again.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let Some(Others { instances, .. }) = &self.inner.others else {
            return Ok(());
        };
        loop {
            let noted = instances.note_instance(&self.inner.own).await;
            let is_refused = noted.is_err();
            if self.inner.is_refused.swap(is_refused, Ordering::Relaxed) != is_refused {
                match noted {
                    Ok(()) => tracing::info!("the catalog takes this instance's signs of life again"),
                    Err(error) => {
                        tracing::warn!(%error, "the catalog takes no sign of life of this instance");
                    }
                }
            }
            let pause = tokio::time::sleep(SIGN_INTERVAL);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        if let Err(error) = instances.remove_instance(self.inner.own.id).await {
            tracing::warn!(%error, "this instance is listed for a day, though it has ended");
        }
        Ok(())
    }

    /// Whether the catalog did not take the last sign of life: it is away, or another process
    /// has replaced this one.
    pub fn is_refused(&self) -> bool {
        self.inner.is_refused.load(Ordering::Relaxed)
    }

    /// All instances, and which of them leads.
    ///
    /// # Errors
    /// Where the catalog cannot be asked.
    pub async fn list(&self) -> Result<InstanceList, CatalogError> {
        let Some(Others { instances, leases }) = &self.inner.others else {
            return Ok(self.alone_at(now_ms()));
        };
        let (seen, lease) = tokio::try_join!(instances.instances(), leases.lease())?;
        let leader = lease.map(|lease| lease.instance);
        Ok(InstanceList {
            instances: seen.into_iter().map(|seen| listed(seen, leader)).collect(),
            epoch: lease.map(|lease| lease.epoch.0),
        })
    }

    /// How many instances there are, and whether this one leads.
    ///
    /// # Errors
    /// Where the catalog cannot be asked.
    pub async fn totals(&self) -> Result<InstanceTotals, CatalogError> {
        let Some(Others { instances, leases }) = &self.inner.others else {
            return Ok(InstanceTotals {
                there: 1,
                silent: 0,
                leads: true,
            });
        };
        let (seen, lease) = tokio::try_join!(instances.instances(), leases.lease())?;
        let silent = seen
            .iter()
            .filter(|seen| seen.silent_ms > SILENT_AFTER_MS)
            .count();
        Ok(InstanceTotals {
            there: (seen.len() - silent) as u64,
            silent: silent as u64,
            leads: lease.is_some_and(|lease| lease.instance == self.inner.own.id),
        })
    }

    fn alone_at(&self, now: u64) -> InstanceList {
        let own = SeenInstance {
            instance: self.inner.own.clone(),
            started_at: self.inner.started_at,
            seen_at: now,
            silent_ms: 0,
        };
        InstanceList {
            instances: vec![listed(own, Some(self.inner.own.id))],
            epoch: None,
        }
    }
}

fn listed(seen: SeenInstance, leader: Option<InstanceId>) -> ListedInstance {
    ListedInstance {
        id: seen.instance.id.to_string(),
        version: seen.instance.version,
        peer_id: seen.instance.peer_id,
        started_at: seen.started_at,
        seen_at: seen.seen_at,
        leader: leader == Some(seen.instance.id),
    }
}

#[cfg(test)]
mod tests {
    use dm_testing::{catalog::MemoryLeases, waiting::eventually};

    use super::*;

    fn instance(n: u8) -> Instance {
        Instance {
            id: InstanceId([n; 16]),
            name: String::new(),
            version: "1.2.3".to_owned(),
            peer_id: Some(format!("peer {n}")),
            addresses: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_node_that_is_one_instance_names_itself_as_the_leader() {
        let membership = Membership::alone(instance(1));
        membership.run(CancellationToken::new()).await.unwrap();
        let list = membership.list().await.unwrap();
        assert_eq!(list.epoch, None);
        assert_eq!(list.instances.len(), 1);
        assert!(list.instances[0].leader);
        assert_eq!(list.instances[0].peer_id.as_deref(), Some("peer 1"));
        let alone = InstanceTotals {
            there: 1,
            silent: 0,
            leads: true,
        };
        assert_eq!(membership.totals().await.unwrap(), alone);
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_gives_no_sign_of_life_any_more_counts_as_silent() {
        let catalog = Arc::new(MemoryLeases::new());
        let [alive, killed] =
            [1, 2].map(|n| Membership::among(instance(n), catalog.clone(), catalog.clone()));
        let shutdown = CancellationToken::new();
        let killed_run = tokio::spawn(async move { killed.run(CancellationToken::new()).await });
        let (living, until) = (alive.clone(), shutdown.clone());
        let run = tokio::spawn(async move { living.run(until).await });
        let counts = async |there, silent| {
            let found = alive.totals().await.unwrap();
            ((found.there, found.silent) == (there, silent)).then_some(found)
        };
        let totals = eventually("both are there", async || counts(2, 0).await).await;
        assert!(!totals.leads);
        killed_run.abort();
        eventually("one is silent", async || counts(1, 1).await).await;
        let lease = catalog.take_lease(InstanceId([1; 16]), Duration::from_secs(3600));
        assert!(lease.await.unwrap().is_some());
        assert!(alive.totals().await.unwrap().leads);
        shutdown.cancel();
        run.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn instances_are_listed_from_their_first_sign_of_life_until_they_leave() {
        let catalog = Arc::new(MemoryLeases::new());
        let shutdown = CancellationToken::new();
        let mut running = Vec::new();
        for n in [1, 2] {
            let membership = Membership::among(instance(n), catalog.clone(), catalog.clone());
            let (member, until) = (membership.clone(), shutdown.clone());
            running.push((membership, tokio::spawn(async move { member.run(until).await })));
        }
        let second = InstanceId([2; 16]);
        let epoch = catalog
            .take_lease(second, Duration::from_secs(3600))
            .await
            .unwrap();
        let list = eventually("both are listed", async || {
            let list = running[0].0.list().await.unwrap();
            (list.instances.len() == 2).then_some(list)
        })
        .await;
        assert_eq!(list.epoch, epoch.map(|epoch| epoch.0));
        for listed in &list.instances {
            assert_eq!(listed.leader, listed.id == second.to_string());
        }
        catalog.set_away(true);
        eventually("the instance finds out", async || {
            running[0].0.is_refused().then_some(())
        })
        .await;
        catalog.set_away(false);
        eventually("the instance is there again", async || {
            (!running[0].0.is_refused()).then_some(())
        })
        .await;
        shutdown.cancel();
        for (_, run) in running {
            run.await.unwrap().unwrap();
        }
        assert_eq!(catalog.instances().await.unwrap(), []);
    }
}
