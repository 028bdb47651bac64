//! Starts nodes on loopback.

#![allow(unreachable_pub, reason = "a module of several test files")]

pub mod letters;
pub mod script;

use std::{net::IpAddr, sync::Arc};

use dm_core::{
    Address,
    bus::EventBus,
    config::NetworkConfig,
    ports::{Network, NetworkStatus, ObjectExchange, ObjectStore, PeerCatalog},
    tasks::Supervisor,
    trace::Trace,
};
use dm_p2p::{Identity, P2p, P2pConfig, P2pDeps, P2pError};
use dm_testing::{
    catalog::MemoryCatalog,
    objects::{MemoryObjectStore, SampleObject},
    waiting::{PATIENCE, eventually},
};
use futures::TryStreamExt;

/// A running node and what it was made from.
pub struct Node {
    pub p2p: Arc<P2p>,
    pub store: Arc<dyn ObjectStore>,
    pub bus: EventBus,
    pub supervisor: Supervisor,
}

impl Node {
    /// The first TCP address, peer id included.
    pub fn address(&self) -> String {
        let addresses = self.p2p.listen_addresses();
        addresses
            .into_iter()
            .find(|address| address.contains("/tcp/"))
            .unwrap()
    }

    /// The first TCP address as `host:port`.
    pub fn host_and_port(&self) -> String {
        let address = self.address();
        let mut parts = address.split('/').skip(2);
        let host = parts.next().unwrap();
        format!("{host}:{}", parts.nth(1).unwrap())
    }

    pub async fn stop(&self) {
        assert!(self.supervisor.shut_down(PATIENCE).await);
    }

    /// Reads an object from its first holder that is found, and panics where it is another.
    pub async fn reads(&self, object: &SampleObject) {
        let trace = Trace::default();
        let found = self.p2p.find(&object.id().locator, &[], &trace).await.unwrap();
        let chunks: Vec<_> = self.p2p.fetch(&found[0], 0, &trace).try_collect().await.unwrap();
        assert!(chunks == object.chunks);
    }

    /// Waits until this many peers are connected and have said where they listen.
    pub async fn knows_peers(&self, count: usize) {
        eventually(&format!("{count} peers are known"), async || {
            let peers = self.p2p.peers().into_iter();
            let known = peers.filter(|peer| peer.connected && peer.record.addresses.len() >= 2);
            (known.count() >= count).then_some(())
        })
        .await;
    }

    /// Waits until so many peers are connected.
    pub async fn has_active_peers(&self, count: u64) {
        eventually(&format!("{count} peers are connected"), async || {
            (self.p2p.stats().active_peers == count).then_some(())
        })
        .await;
    }
}

/// Configuration of a node on loopback.
pub fn config(identity: Identity, initial_peers: Vec<String>) -> P2pConfig {
    P2pConfig {
        initial_peers,
        network: NetworkConfig {
            host: IpAddr::from([127, 0, 0, 1]),
            ..NetworkConfig::default()
        },
        ..P2pConfig::new(identity, Address::repeat_byte(0xaa))
    }
}

pub async fn start(config: P2pConfig, store: Arc<dyn ObjectStore>, catalog: Arc<dyn PeerCatalog>) -> Node {
    start_with(config, P2pDeps::new(store, catalog, EventBus::new())).await
}

pub async fn start_with(config: P2pConfig, deps: P2pDeps) -> Node {
    let supervisor = Supervisor::new();
    let p2p = P2p::start(config, deps.clone(), &supervisor).await.unwrap();
    Node {
        p2p,
        store: deps.objects,
        bus: deps.bus,
        supervisor,
    }
}

pub async fn start_plain(initial_peers: Vec<String>) -> Node {
    start_changed(initial_peers, |_| {}).await
}

/// A node with an empty store.
pub async fn start_empty(config: P2pConfig) -> Node {
    let store = Arc::new(MemoryObjectStore::new());
    start(config, store, Arc::new(MemoryCatalog::new())).await
}

/// A node with what is in this store.
pub async fn start_over(store: &MemoryObjectStore, initial_peers: Vec<String>) -> Node {
    let config = config(Identity::generate(), initial_peers);
    start(config, Arc::new(store.clone()), Arc::new(MemoryCatalog::new())).await
}

/// Why a node with this configuration does not start. Nothing of it runs.
pub async fn fault_of_start(config: P2pConfig) -> P2pError {
    let (supervisor, store) = (Supervisor::new(), Arc::new(MemoryObjectStore::new()));
    let deps = P2pDeps::new(store, Arc::new(MemoryCatalog::new()), EventBus::new());
    let started = P2p::start(config, deps, &supervisor).await;
    assert!(supervisor.statuses().is_empty());
    started.err().unwrap()
}

/// A node with an empty store and this change of the configuration.
pub async fn start_changed(initial_peers: Vec<String>, change: impl FnOnce(&mut NetworkConfig)) -> Node {
    let mut config = config(Identity::generate(), initial_peers);
    change(&mut config.network);
    start_empty(config).await
}

/// Nodes that are all connected with each other.
pub struct Cluster {
    pub nodes: Vec<Node>,
}

impl Cluster {
    pub async fn start(stores: Vec<Arc<dyn ObjectStore>>) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        let others = stores.len() - 1;
        for store in stores {
            let known = nodes.iter().map(Node::address).collect();
            nodes.push(
                start(
                    config(Identity::generate(), known),
                    store,
                    Arc::new(MemoryCatalog::new()),
                )
                .await,
            );
        }
        for node in &nodes {
            node.knows_peers(others).await;
        }
        Self { nodes }
    }

    pub fn networks(&self) -> Vec<Arc<dyn Network>> {
        self.nodes
            .iter()
            .map(|node| node.p2p.clone() as Arc<dyn Network>)
            .collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.supervisor.shutdown_token().cancel();
    }
}
