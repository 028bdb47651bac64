//! Brings up the copies of objects that too few peers hold.

use std::{collections::BTreeSet, time::Duration};

use alloy_primitives::Address;
use dm_core::{bus::NodeEvent, news::News};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::Copies;
use crate::ServiceError;

/// Objects that are taken from the catalog at a time.
const PAGE: usize = 100;

/// Longest pause between two rounds that did not place all copies.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

impl Copies {
    /// Goes through the objects with too few copies whenever the peers have
    /// changed, or copies are known to be missing that peers could take.
    pub(in crate::data) async fn replicate(&self, own: Address) -> Result<(), ServiceError> {
        let mut events = self.bus.subscribe();
        let interval = self.config.retry_interval;
        let mut served = BTreeSet::new();
        let (mut pause, mut has_come) = (interval, false);
        loop {
            let connected = self.connected_peers();
            // Who was away for a moment is among those that were served, and took nothing.
            let have_changed = connected != served || (has_come && self.owed.take_copies_for_others());
            if !connected.is_empty() && (self.owed.take_copies() || have_changed) {
                // Without new peers, an object that all of them hold gets no further copies.
                let copies = match have_changed {
                    true => self.config.replication_factor,
                    false => self.config.replication_factor.min(connected.len() as u32),
                };
                if let Err(error) = self.replicate_all(own, copies).await {
                    tracing::warn!(%error, "objects with too few copies could not be listed");
                    self.owed.note_copies();
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
            has_come = peer_connects(&mut events, pause).await;
        }
    }

    /// Goes through the objects that fewer peers hold than this.
    async fn replicate_all(&self, own: Address, copies: u32) -> Result<(), ServiceError> {
        let mut after = None;
        loop {
            let shares = &self.shares;
            let objects = shares.under_replicated(own, copies, after, PAGE).await?;
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
        let peers = self.network.peers();
        let connected = peers.into_iter().filter(|peer| peer.connected);
        connected.map(|peer| peer.record.peer_id).collect()
    }
}

/// Waits for the next connection to a peer, no longer than `patience`; whether there is one.
async fn peer_connects(events: &mut Receiver<NodeEvent>, patience: Duration) -> bool {
    let connected = async {
        loop {
            match events.recv().await {
                Ok(event) if matches!(event.news, News::PeerConnected { .. }) => return,
                Ok(_) => {}
                // Something was missed, perhaps this.
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    tokio::time::timeout(patience, connected).await.is_ok()
}
