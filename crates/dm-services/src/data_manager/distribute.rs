//! Brings objects to the peers that are to hold them.

use std::time::Duration;

use dm_core::envelope::ObjectId;

use super::DataManager;
use crate::{ServiceError, run_to_completion};

/// How long a share waits for its copies; the rest is made up later.
const DISTRIBUTION_PATIENCE: Duration = Duration::from_secs(10);

impl DataManager {
    /// Brings the object to its peers, and waits for that only so long; it goes
    /// on in the background. Returns how many are known to hold it by then.
    pub(super) async fn distribute_soon(&self, id: &ObjectId) -> Result<u32, ServiceError> {
        if self.inner.ports.network.stats().active_peers == 0 {
            self.inner.owed.note_copies();
            return Ok(0);
        }
        let (manager, id) = (self.clone(), *id);
        let distribution = run_to_completion(async move { manager.distribute(&id).await });
        match tokio::time::timeout(DISTRIBUTION_PATIENCE, distribution).await {
            Ok(replicas) => replicas,
            Err(_) => Ok(0),
        }
    }

    /// Brings the object to as many peers as it should have and returns how
    /// many hold it. That none can be reached is no error: the copies are owed.
    pub(super) async fn distribute(&self, id: &ObjectId) -> Result<u32, ServiceError> {
        let inner = &self.inner;
        let copies = inner.settings.replication_factor;
        let Some(envelope) = inner.ports.objects.envelope(id).await? else {
            return Ok(0);
        };
        let replicas = match inner.ports.network.push(id, copies as usize).await {
            Ok(report) => u32::try_from(report.holders.len()).unwrap_or(u32::MAX),
            Err(error) => {
                tracing::warn!(locator = %id.locator, %error, "an object was not distributed; its copies are owed");
                0
            }
        };
        if u64::from(replicas) < u64::from(copies).min(inner.ports.network.stats().active_peers) {
            inner.owed.note_copies();
        }
        inner
            .ports
            .shares
            .set_replicas(id, envelope.sequence, replicas)
            .await?;
        Ok(replicas)
    }

    pub(super) async fn known_replicas(&self, id: &ObjectId) -> Result<u32, ServiceError> {
        let known = self.inner.ports.shares.replicas(id).await?;
        Ok(known.map_or(0, |(replicas, _)| replicas))
    }
}
