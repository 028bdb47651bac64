use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use dm_core::{
    Address,
    address_record::{Announcement, SignedAddressRecord},
    envelope::{Chunk, ObjectId},
    hash::Locator,
    letter::Letter,
    peer::{NetworkStats, PeerStatus},
    ports::{
        AddressDirectory, Challenged, ChunkOpener, Evidence, FetchError, Found, HoldersNews, NetworkError,
        NetworkStatus, NoticeNetwork, NoticeReport, ObjectExchange, OpenedChunk, PushReport, Replication,
    },
    tasks::Supervisor,
    trace::Trace,
};
use futures::stream::BoxStream;
use libp2p::PeerId;

use crate::{
    client::{Pushing, challenge, fetch, find, find_at_known, trace_lookup},
    config::{P2pConfig, P2pDeps},
    dht::{SweepTrace, announce, find_address, sweep_now},
    error::P2pError,
    node::{Context, LookupTrace, start},
    notices::{collect, is_there, send_all},
};

/// A running node of the peer-to-peer network.
pub struct P2p {
    context: Arc<Context>,
    pushing: Pushing,
}

impl P2p {
    /// Listens, loads the peer book, dials, and runs in the background until
    /// the supervisor shuts down.
    ///
    /// # Errors
    /// [`P2pError`] where an initial peer cannot be read, the port is taken,
    /// or the peer book cannot be loaded. Then nothing runs.
    pub async fn start(
        config: P2pConfig,
        deps: P2pDeps,
        supervisor: &Supervisor,
    ) -> Result<Arc<Self>, P2pError> {
        let context = start(config, deps, supervisor).await?;
        Ok(Arc::new(Self {
            context,
            pushing: Pushing::default(),
        }))
    }

    /// Where this node is reached from outside, as far as it was set or peers
    /// have found it out: addresses of its own, and such as lead through relays.
    pub fn external_addresses(&self) -> Vec<String> {
        self.context.external().iter().map(ToString::to_string).collect()
    }

    /// Looks the providers of a locator up on the DHT, and says what it took.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`] where the network is not running.
    pub async fn trace_lookup(&self, locator: &Locator) -> Result<LookupTrace, NetworkError> {
        trace_lookup(&self.context, locator).await
    }

    /// Announces everything that is stored on the DHT once, as fast as peers take it, and
    /// says what it took. A running node does the same again and again, in its own time.
    ///
    /// # Errors
    /// [`NetworkError::Local`] where the objects cannot be listed.
    pub async fn announce_stored(&self) -> Result<SweepTrace, NetworkError> {
        sweep_now(&self.context).await
    }
}

#[async_trait]
impl AddressDirectory for P2p {
    async fn announce(&self, own: Announcement) -> Result<(), NetworkError> {
        announce(&self.context, own).await
    }

    async fn find_address(&self, address: Address) -> Result<Option<SignedAddressRecord>, NetworkError> {
        let found = find_address(&self.context, address).await?;
        let peers = found.iter().flat_map(|record| record.peers());
        for peer in peers.filter_map(|peer| peer.parse().ok()) {
            // Somebody whom this node shares with or reads from.
            self.context.peers.was_useful(peer);
        }
        Ok(found)
    }
}

#[async_trait]
impl ObjectExchange for P2p {
    async fn push(&self, object: &ObjectId, copies: usize) -> Result<PushReport, NetworkError> {
        self.pushing.push(&self.context, object, copies, &[]).await
    }

    async fn find(
        &self,
        locator: &Locator,
        owners: &[Address],
        trace: &Trace,
    ) -> Result<Vec<Found>, NetworkError> {
        find(&self.context, locator, owners, trace).await
    }

    async fn find_at_known(
        &self,
        locator: &Locator,
        owners: &[Address],
        trace: &Trace,
    ) -> Result<Vec<Found>, NetworkError> {
        find_at_known(&self.context, locator, owners, trace).await
    }

    fn fetch(
        &self,
        found: &Found,
        first: u64,
        trace: &Trace,
    ) -> BoxStream<'static, Result<Chunk, FetchError>> {
        fetch(
            self.context.clone(),
            found,
            first,
            Arc::new(Chunk::checked),
            trace,
        )
    }

    fn fetch_opened(
        &self,
        found: &Found,
        first: u64,
        opener: ChunkOpener,
        trace: &Trace,
    ) -> BoxStream<'static, Result<OpenedChunk, FetchError>> {
        let check = Arc::new(move |name, bytes| opener.open_named(name, bytes));
        fetch(self.context.clone(), found, first, check, trace)
    }
}

impl NetworkStatus for P2p {
    fn peers(&self) -> Vec<PeerStatus> {
        self.context.peers.statuses()
    }

    fn stats(&self) -> NetworkStats {
        let peers = self.peers();
        let count = |wanted: fn(&PeerStatus) -> bool| peers.iter().filter(|peer| wanted(peer)).count() as u64;
        let latencies: Vec<f64> = peers
            .iter()
            .filter(|peer| peer.connected)
            .filter_map(|peer| peer.record.latency_ms.map(f64::from))
            .collect();
        NetworkStats {
            total_peers: peers.len() as u64,
            healthy_peers: count(|peer| peer.healthy),
            active_peers: count(|peer| peer.connected),
            bootstrap_nodes: self.context.initial_peers as u64,
            data_sent: self.context.traffic.sent(),
            data_received: self.context.traffic.received(),
            uptime: self.context.started.elapsed().as_secs(),
            avg_latency_ms: (!latencies.is_empty())
                .then(|| latencies.iter().sum::<f64>() / latencies.len() as f64),
            not_understood: self.context.peers.count_not_understood(),
        }
    }

    fn local_peer_id(&self) -> String {
        self.context.local.to_base58()
    }

    fn listen_addresses(&self) -> Vec<String> {
        self.context.listening().iter().map(ToString::to_string).collect()
    }

    fn is_running(&self) -> bool {
        self.context.runner.is_connected()
    }
}

#[async_trait]
impl Replication for P2p {
    async fn challenge(
        &self,
        peer: &str,
        object: &ObjectId,
        known: &[String],
    ) -> Result<Challenged, NetworkError> {
        match peer.parse() {
            Ok(peer) => challenge(&self.context, peer, object, &peer_ids(known)).await,
            // Nobody has this name.
            Err(_) => Ok(Challenged::Silent),
        }
    }

    async fn search(&self, object: &ObjectId) -> Result<Vec<String>, NetworkError> {
        let found = self
            .find(&object.locator, &[object.owner], &Trace::default())
            .await?;
        let of_object = found.into_iter().find(|found| found.envelope.id == *object);
        let mut holders = of_object.map(|found| found.holders).unwrap_or_default();
        let siblings = self.context.siblings();
        holders.retain(|holder| holder.parse().is_ok_and(|peer| !siblings.contains(&peer)));
        Ok(holders)
    }

    async fn place(
        &self,
        object: &ObjectId,
        copies: usize,
        avoid: &[String],
    ) -> Result<PushReport, NetworkError> {
        let avoid = peer_ids(avoid);
        self.pushing.push(&self.context, object, copies, &avoid).await
    }

    fn reachable(&self) -> HashSet<String> {
        let (peers, siblings) = (self.context.peers.book.reachable(), self.context.siblings());
        let others = peers.into_iter().filter(|peer| !siblings.contains(peer));
        others.map(PeerId::to_base58).collect()
    }

    async fn next_news(&self) -> HoldersNews {
        let update = self.context.holder_updates.next().await;
        let siblings = self.context.siblings();
        let holders = update.holders.into_iter().filter(|peer| !siblings.contains(peer));
        HoldersNews {
            object: update.object,
            holders: holders.map(PeerId::to_base58).collect(),
            evidence: match update.said_by {
                Some(by) => Evidence::Said { by: by.to_base58() },
                None => Evidence::Transferred,
            },
        }
    }
}

#[async_trait]
impl NoticeNetwork for P2p {
    async fn send_all(&self, letters: &[Letter]) -> Result<Vec<NoticeReport>, NetworkError> {
        send_all(&self.context, letters).await
    }

    async fn collect(&self, named: &[Address]) -> Result<Vec<Letter>, NetworkError> {
        collect(&self.context, named).await
    }

    async fn is_there(&self, account: Address) -> Result<bool, NetworkError> {
        is_there(&self.context, account).await
    }

    fn has_peers(&self) -> bool {
        self.context.peers.book.has_connected()
    }
}

fn peer_ids(texts: &[String]) -> Vec<PeerId> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}
