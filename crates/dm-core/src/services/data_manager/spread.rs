//! Completes in the background what shares have left open: events of shares
//! that the node was stopped in, grants for recipients that were unknown,
//! receipts that are to travel with their objects, and missing copies.

use std::{collections::BTreeSet, time::Duration};

use alloy_primitives::Address;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::DataManager;
use crate::{
    bus::{NodeEvent, Topic},
    envelope::ObjectId,
    event::NewEvent,
    hash::DataHash,
    ports::EventFilter,
    services::ServiceError,
    share::ShareRecord,
};

/// Entries that are taken from the catalog at a time.
const PAGE: usize = 100;
/// Shares that one stop can have interrupted: far more than are accepted at once.
const MAX_INTERRUPTED: usize = 100_000;
/// How long bringing one object to its peers may take.
const PUSH_PATIENCE: Duration = Duration::from_secs(60);

impl DataManager {
    /// Runs until `shutdown`; an error ends it, and whoever supervises it
    /// starts it again.
    ///
    /// # Errors
    /// Faults of the catalog, the store or the log.
    pub async fn run_spreading(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let spreading = async {
            self.record_interrupted_shares().await?;
            let mut events = self.inner.ports.bus.subscribe();
            let mut served = BTreeSet::new();
            loop {
                self.complete_grants().await?;
                self.spread_receipts().await?;
                self.replicate(&mut served).await?;
                let interval = self.inner.settings.retry_interval;
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = self.inner.owed.notified() => {}
                    () = peer_connected(&mut events) => {}
                }
            }
        };
        shutdown.run_until_cancelled(spreading).await.unwrap_or(Ok(()))
    }

    /// The node stopped between storing a share and logging it.
    async fn record_interrupted_shares(&self) -> Result<(), ServiceError> {
        for share in self.inner.ports.shares.unrecorded_shares(MAX_INTERRUPTED).await? {
            self.record_interrupted_share(&share).await?;
        }
        Ok(())
    }

    async fn record_interrupted_share(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _turn = self.inner.turns.take(share.data_hash).await;
        let Some(object) = self.own_object(&share.data_hash).await? else {
            // The data itself was not stored any more; the client was told nothing.
            return Ok(());
        };
        if !self.has_grant(&object.id, share.recipient).await? {
            self.owe_grant(&share.data_hash, share.recipient).await?;
        }
        let log = &self.inner.ports.log;
        let filter = EventFilter::share(share.data_hash, share.recipient);
        if log.find(&filter).await?.is_none() {
            log.record(NewEvent::data_share(share.data_hash, share.recipient))
                .await?;
        }
        Ok(())
    }

    async fn complete_grants(&self) -> Result<(), ServiceError> {
        let owed = self.inner.ports.shares.owed_grants(PAGE).await?;
        let recipients: BTreeSet<Address> = owed.iter().map(|share| share.recipient).collect();
        for recipient in recipients {
            let network = self.inner.ports.network.as_ref();
            if self.inner.recipients.look_up(recipient, network).await?.is_none() {
                continue;
            }
            for share in owed.iter().filter(|share| share.recipient == recipient) {
                self.complete_grant(share).await?;
            }
        }
        Ok(())
    }

    async fn complete_grant(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _turn = self.inner.turns.take(share.data_hash).await;
        let inner = &self.inner;
        if let Some(object) = inner.readable.get(&share.data_hash).await? {
            let key = inner.ports.key_ring.unwrap(&object.key)?;
            let Some(grant) = self.make_grant(&key, object.id, share.recipient).await? else {
                return Ok(());
            };
            self.add_grant(&object.id, grant).await?;
            self.distribute(&object.id, PUSH_PATIENCE).await?;
            tracing::info!(recipient = %share.recipient, locator = %object.id.locator, "completed an owed grant");
        }
        Ok(inner
            .ports
            .shares
            .set_grant_owed(&share.data_hash, share.recipient, false)
            .await?)
    }

    async fn spread_receipts(&self) -> Result<(), ServiceError> {
        let inner = &self.inner;
        if inner.ports.network.stats().active_peers == 0 {
            return Ok(());
        }
        let anchored = inner.ports.log.anchored_size().await?;
        for share in inner.ports.shares.receipts_to_spread(anchored, PAGE).await? {
            self.spread_receipt(&share).await?;
        }
        Ok(())
    }

    async fn spread_receipt(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _turn = self.inner.turns.take(share.data_hash).await;
        let ports = &self.inner.ports;
        let filter = EventFilter::share(share.data_hash, share.recipient);
        let Some(recorded) = ports.log.find(&filter).await? else {
            return Ok(());
        };
        let Some(receipt) = ports.log.receipt(recorded.index).await? else {
            return Ok(());
        };
        let id = self.own_id(&share.data_hash);
        if let Some(sealed) = self.seal_receipt(&share.data_hash, &receipt) {
            self.add_receipt(&id, sealed).await?;
            self.distribute(&id, PUSH_PATIENCE).await?;
        }
        Ok(ports
            .shares
            .set_receipt_spread(&share.data_hash, share.recipient)
            .await?)
    }

    /// Brings up the copies of objects that too few peers hold, whenever the
    /// peers have changed since all of them were `served`.
    async fn replicate(&self, served: &mut BTreeSet<String>) -> Result<(), ServiceError> {
        let connected = self.connected_peers();
        if connected.is_empty() || connected.is_subset(served) {
            return Ok(());
        }
        let factor = self.inner.settings.replication_factor;
        let mut after = None;
        loop {
            let shares = &self.inner.ports.shares;
            let objects = shares
                .under_replicated(self.address(), factor, after, PAGE)
                .await?;
            for object in &objects {
                self.distribute(&object.id, PUSH_PATIENCE).await?;
            }
            match objects.last() {
                Some(last) if objects.len() == PAGE => after = Some(last.data_hash),
                _ => break,
            }
        }
        *served = connected;
        Ok(())
    }

    fn connected_peers(&self) -> BTreeSet<String> {
        let peers = self.inner.ports.network.peers();
        let connected = peers.into_iter().filter(|peer| peer.connected);
        connected.map(|peer| peer.record.peer_id).collect()
    }

    fn own_id(&self, data_hash: &DataHash) -> ObjectId {
        ObjectId {
            locator: data_hash.locator(),
            owner: self.address(),
        }
    }
}

/// Waits for the next connection to a peer.
async fn peer_connected(events: &mut tokio::sync::broadcast::Receiver<NodeEvent>) {
    loop {
        match events.recv().await {
            Ok(event) if event.topic == Topic::PeerConnected => return,
            Ok(_) => {}
            // Something was missed, perhaps this.
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
