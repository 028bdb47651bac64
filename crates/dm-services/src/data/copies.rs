//! Brings objects to the peers that are to hold them.

use std::{sync::Arc, time::Duration};

use dm_core::{
    bus::EventBus,
    envelope::ObjectId,
    ports::{Network, ObjectStore, ShareCatalog},
};

use super::{DataConfig, DataPorts, owed::Owed};
use crate::{ServiceError, run_to_completion};

mod replicate;
mod telling;

use telling::Telling;

/// How long a share waits for its copies; the rest is made up later.
const DISTRIBUTION_PATIENCE: Duration = Duration::from_secs(10);

/// The copies of this node's objects at its peers; cheap to clone.
#[derive(Clone)]
pub(super) struct Copies {
    objects: Arc<dyn ObjectStore>,
    shares: Arc<dyn ShareCatalog>,
    network: Arc<dyn Network>,
    bus: EventBus,
    owed: Arc<Owed>,
    telling: Arc<Telling>,
    config: DataConfig,
}

impl Copies {
    pub(super) fn new(ports: &DataPorts, config: &DataConfig, owed: &Arc<Owed>) -> Self {
        Self {
            objects: ports.objects.clone(),
            shares: ports.catalog.clone(),
            network: ports.network.clone(),
            bus: ports.bus.clone(),
            owed: owed.clone(),
            telling: Arc::default(),
            config: *config,
        }
    }

    /// Brings the object to its peers, and waits for that only so long; it goes
    /// on in the background. Returns how many are known to hold it by then.
    pub(super) async fn distribute_soon(&self, id: &ObjectId) -> Result<u32, ServiceError> {
        if self.network.stats().active_peers == 0 {
            self.owed.note_copies();
            return Ok(0);
        }
        let (copies, id) = (self.clone(), *id);
        let distribution = run_to_completion(async move { copies.distribute(&id).await });
        match tokio::time::timeout(DISTRIBUTION_PATIENCE, distribution).await {
            Ok(replicas) => replicas,
            Err(_) => Ok(0),
        }
    }

    /// Brings the object to as many peers as it should have and returns how
    /// many hold it. That none can be reached is no error: the copies are owed.
    pub(super) async fn distribute(&self, id: &ObjectId) -> Result<u32, ServiceError> {
        let copies = self.config.replication_factor;
        let Some(envelope) = self.objects.envelope(id).await? else {
            return Ok(0);
        };
        let replicas = match self.network.push(id, copies as usize).await {
            Ok(report) => u32::try_from(report.holders.len()).unwrap_or(u32::MAX),
            Err(error) => {
                tracing::warn!(locator = %id.locator, %error, "an object was not distributed; its copies are owed");
                0
            }
        };
        if u64::from(replicas) < u64::from(copies).min(self.network.stats().active_peers) {
            self.owed.note_copies();
        } else if replicas < copies {
            self.owed.note_copies_for_others();
        }
        self.shares.set_replicas(id, envelope.sequence, replicas).await?;
        Ok(replicas)
    }

    pub(super) async fn known_replicas(&self, id: &ObjectId) -> Result<u32, ServiceError> {
        let known = self.shares.replicas(id).await?;
        Ok(known.map_or(0, |(replicas, _)| replicas))
    }
}
