//! Brings up the copies of objects that too few peers hold.

use std::{collections::BTreeSet, time::Duration};

use super::PAGE;
use crate::{DataManager, ServiceError};

/// Longest pause between two rounds that did not place all copies.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

impl DataManager {
    /// Goes through the objects with too few copies whenever the peers have
    /// changed, or copies are known to be missing that peers could take.
    pub(super) async fn replicate(&self) -> Result<(), ServiceError> {
        let interval = self.inner.settings.retry_interval;
        let mut served = BTreeSet::new();
        let mut pause = interval;
        loop {
            let connected = self.connected_peers();
            let have_changed = connected != served;
            if !connected.is_empty() && (self.inner.owed.take_copies() || have_changed) {
                if let Err(error) = self.replicate_all().await {
                    tracing::warn!(%error, "objects with too few copies could not be listed");
                    self.inner.owed.note_copies();
                }
                served = connected;
                // What could not be placed now is noted again, and has time.
                pause = if have_changed {
                    interval
                } else {
                    (pause * 2).min(LONGEST_PAUSE)
                };
            } else {
                pause = interval;
            }
            self.peer_connects(pause).await;
        }
    }

    async fn replicate_all(&self) -> Result<(), ServiceError> {
        let factor = self.inner.settings.replication_factor;
        let mut after = None;
        loop {
            let shares = &self.inner.ports.shares;
            let objects = shares
                .under_replicated(self.address(), factor, after, PAGE)
                .await?;
            for object in &objects {
                if let Err(error) = self.distribute(&object.id).await {
                    tracing::warn!(locator = %object.id.locator, %error, "an object was not distributed");
                }
            }
            match objects.last() {
                Some(last) if objects.len() == PAGE => after = Some(last.data_hash),
                _ => return Ok(()),
            }
        }
    }

    fn connected_peers(&self) -> BTreeSet<String> {
        let peers = self.inner.ports.network.peers();
        let connected = peers.into_iter().filter(|peer| peer.connected);
        connected.map(|peer| peer.record.peer_id).collect()
    }
}
