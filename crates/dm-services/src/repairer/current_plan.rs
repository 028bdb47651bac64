//! The plan of a run: read from the store when the run begins, and gone with it. So nothing of
//! it is left in memory when another instance has led meanwhile.

use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};

use dm_core::{clock::now_ms, ports::StoreError};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    Repairer,
    plan::{Peer, RepairPlan},
};

/// The plan of the run, as long as there is one.
#[derive(Default)]
pub(super) struct CurrentPlan(SyncMutex<Option<Arc<Mutex<RepairPlan>>>>);

/// Ends the plan with the run, however that ends.
pub(super) struct PlanOfRun<'a>(&'a CurrentPlan);

impl CurrentPlan {
    fn place(&self) -> MutexGuard<'_, Option<Arc<Mutex<RepairPlan>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PlanOfRun<'_> {
    fn drop(&mut self) {
        *self.0.place() = None;
    }
}

impl Repairer {
    /// Begins with what the store has.
    pub(super) async fn begin_plan(&self) -> Result<PlanOfRun<'_>, StoreError> {
        let current = &self.inner.plan;
        let plan = self.open_plan().await?;
        *current.place() = Some(Arc::new(Mutex::new(plan)));
        Ok(PlanOfRun(current))
    }

    /// The plan of the run. Without one, what the store has at this moment, for a look: another
    /// instance may work by it.
    pub(super) async fn plan(&self) -> Result<OwnedMutexGuard<RepairPlan>, StoreError> {
        let current = self.inner.plan.place().clone();
        let plan = match current {
            Some(plan) => plan,
            None => Arc::new(Mutex::new(self.look_at_plan().await?)),
        };
        Ok(plan.lock_owned().await)
    }

    async fn look_at_plan(&self) -> Result<RepairPlan, StoreError> {
        let mut plan = self.open_plan().await?;
        for name in self.inner.ports.replication.reachable() {
            plan.peer_up(&Peer::named(&name));
        }
        Ok(plan)
    }

    async fn open_plan(&self) -> Result<RepairPlan, StoreError> {
        let inner = &self.inner;
        RepairPlan::open(inner.local, inner.config, inner.ports.index.clone(), now_ms()).await
    }
}
