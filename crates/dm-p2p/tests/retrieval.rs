//! Finding and fetching: who is asked, for what, and in which order.

use std::sync::Arc;

use dm_core::{
    Address,
    bus::EventBus,
    envelope::CHUNK_SIZE,
    ports::{Found, HolderIndex, NetworkStatus, ObjectExchange},
    trace::{AskedFor, Trace, TraceReport},
};
use dm_p2p::{Identity, P2pDeps};
use dm_services::{
    RepairPorts, Repairer,
    repairer::{StoredHolderIndex, plan::RepairConfig},
};
use dm_testing::{
    catalog::MemoryCatalog,
    key_value::MemoryKeyValueStore,
    objects::{MemoryObjectStore, SampleObject},
    waiting::eventually,
};
use futures::TryStreamExt;

use crate::common::{
    Node, config,
    script::{self, Holding, Lie},
    start_over, start_plain, start_with,
};

const CHUNKS: u64 = 60;

fn object() -> SampleObject {
    SampleObject::new(1, 7, (CHUNKS - 1) * CHUNK_SIZE + 3)
}

/// A reader and this many holders of the object, all connected.
async fn reader_and_holders(holders: usize) -> (Node, Vec<Node>) {
    let mut nodes = Vec::new();
    for _ in 0..holders {
        let store = MemoryObjectStore::new();
        object().store_in(&store).await.unwrap();
        nodes.push(start_over(&store, Vec::new()).await);
    }
    let known = nodes.iter().map(Node::address).collect();
    let reader = start_plain(known).await;
    reader.knows_peers(holders).await;
    (reader, nodes)
}

fn sent_chunks(report: &TraceReport) -> u64 {
    let chunks = report
        .peers
        .iter()
        .filter(|peer| peer.asked_for == AskedFor::Chunks);
    chunks.map(|peer| peer.items).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_goes_on_asks_for_the_rest_alone() {
    // Of one holder nothing is asked twice.
    let (reader, _holders) = reader_and_holders(1).await;
    let trace = Trace::default();
    let found = reader
        .p2p
        .find(&object().id().locator, &[], &trace)
        .await
        .unwrap();
    let chunks: Vec<_> = reader
        .p2p
        .fetch(&found[0], 41, &trace)
        .try_collect()
        .await
        .unwrap();
    assert!(chunks == object().chunks[41..]);
    assert_eq!(sent_chunks(&trace.report()), CHUNKS - 41);
    let nothing: Vec<_> = reader
        .p2p
        .fetch(&found[0], CHUNKS, &trace)
        .try_collect()
        .await
        .unwrap();
    assert!(nothing.is_empty());
    assert_eq!(sent_chunks(&trace.report()), CHUNKS - 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_come_from_several_holders_at_once_and_the_trace_tells_of_each() {
    let (reader, holders) = reader_and_holders(3).await;
    let trace = Trace::default();
    // The first answers end a search soon: here everybody is to be used.
    let found = Found {
        envelope: object().envelope,
        holders: holders.iter().map(|holder| holder.p2p.local_peer_id()).collect(),
    };
    let chunks: Vec<_> = reader.p2p.fetch(&found, 0, &trace).try_collect().await.unwrap();
    assert!(chunks == object().chunks);
    let report = trace.report();
    for holder in &holders {
        let peer_id = holder.p2p.local_peer_id();
        let line = report
            .peers
            .iter()
            .find(|peer| peer.peer_id == peer_id && peer.asked_for == AskedFor::Chunks)
            .unwrap();
        assert!(line.items > 0 && line.bytes > line.items * 200_000, "{line:?}");
        assert!(line.bytes_per_second.is_some());
        assert!(
            line.paths
                .iter()
                .all(|path| path.transport == "tcp" && !path.relayed)
        );
        assert_eq!(
            line.paths[0].address,
            holder.address().rsplit_once("/p2p/").unwrap().0
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_known_to_hold_an_object_is_asked_before_the_dht() {
    let (reader, holders) = reader_and_holders(2).await;
    let locator = object().id().locator;
    let nobody = reader
        .p2p
        .find_at_known(&locator, &[], &Trace::default())
        .await
        .unwrap();
    assert!(nobody.is_empty(), "nobody is known yet");
    let first = Trace::default();
    let found = reader.p2p.find(&locator, &[], &first).await.unwrap();
    assert!(first.report().asked_dht);
    let again = Trace::default();
    let known = reader.p2p.find_at_known(&locator, &[], &again).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].envelope, object().envelope);
    assert!(
        known[0]
            .holders
            .iter()
            .all(|holder| found[0].holders.contains(holder))
    );
    assert!(!again.report().asked_dht);
    let asked: Vec<_> = again
        .report()
        .peers
        .into_iter()
        .map(|peer| peer.peer_id)
        .collect();
    let ids: Vec<_> = holders.iter().map(|holder| holder.p2p.local_peer_id()).collect();
    assert!(asked.iter().all(|peer| ids.contains(peer)), "{asked:?}");
}

/// A node with a repairer that writes the holders down.
async fn careful(
    identity: Identity,
    store: &MemoryObjectStore,
    notes: &Arc<MemoryKeyValueStore>,
    peer: &Node,
) -> Node {
    let config = config(identity, vec![peer.address()]);
    let deps = P2pDeps {
        holder_index: Some(Arc::new(StoredHolderIndex::new(notes.clone()))),
        ..P2pDeps::new(
            Arc::new(store.clone()),
            Arc::new(MemoryCatalog::new()),
            EventBus::new(),
        )
    };
    let repair_config = RepairConfig::of(&config.network);
    let node = start_with(config, deps).await;
    let ports = RepairPorts {
        objects: node.store.clone(),
        replication: node.p2p.clone(),
        changes: Arc::new(store.clone()),
        index: notes.clone(),
        earlier_holders: Arc::new(MemoryKeyValueStore::new()),
        shares: Arc::new(MemoryCatalog::new()),
        quota: Arc::new(store.clone()),
        arrivals: None,
        replica_notices: None,
        standing: None,
    };
    let repairer = Repairer::new(ports, Address::ZERO, &node.p2p.local_peer_id(), repair_config);
    node.supervisor.spawn("repairer", move |shutdown| {
        let repairer = repairer.clone();
        async move { repairer.run(shutdown).await }
    });
    node.knows_peers(1).await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_holders_that_were_written_down_are_asked_before_the_dht() {
    let (store, notes) = (MemoryObjectStore::new(), Arc::new(MemoryKeyValueStore::new()));
    let (identity, locator) = (Identity::generate(), object().id().locator);
    object().store_in(&store).await.unwrap();
    let holder = start_plain(Vec::new()).await;
    let before = careful(identity.clone(), &store, &notes, &holder).await;
    before.p2p.push(&object().id(), 1).await.unwrap();
    let holder_index = StoredHolderIndex::new(notes.clone());
    eventually("the holder is written down", async || {
        let holders = holder_index.holders(&locator).await.unwrap();
        (!holders.is_empty()).then_some(())
    })
    .await;
    before.stop().await;
    let after = careful(identity, &store, &notes, &holder).await;
    let trace = Trace::default();
    let known = after.p2p.find_at_known(&locator, &[], &trace).await.unwrap();
    assert_eq!(known[0].holders, [holder.p2p.local_peer_id()]);
    assert!(!trace.report().asked_dht);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_knows_who_took_its_object() {
    let store = MemoryObjectStore::new();
    object().store_in(&store).await.unwrap();
    let owner = start_over(&store, Vec::new()).await;
    let replica = start_plain(vec![owner.address()]).await;
    owner.knows_peers(1).await;
    let report = owner.p2p.push(&object().id(), 1).await.unwrap();
    assert_eq!(report.holders, [replica.p2p.local_peer_id()]);
    let known = owner
        .p2p
        .find_at_known(&object().id().locator, &[], &Trace::default())
        .await
        .unwrap();
    assert_eq!(known[0].holders, [replica.p2p.local_peer_id()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stalls_is_overtaken_and_the_trace_says_who_delivered() {
    let (reader, holders) = reader_and_holders(1).await;
    let holding = Holding::new(&object().envelope, &object().chunks);
    let stalled = script::connect(&reader.address(), Lie::Stalls, Some(holding)).await;
    reader.has_active_peers(2).await;
    let found = Found {
        envelope: object().envelope,
        holders: vec![stalled.peer.to_base58(), holders[0].p2p.local_peer_id()],
    };
    let trace = Trace::default();
    let chunks: Vec<_> = reader.p2p.fetch(&found, 0, &trace).try_collect().await.unwrap();
    assert!(chunks == object().chunks);
    assert_eq!(sent_chunks(&trace.report()), CHUNKS);
    let from: Vec<_> = trace.report().peers.into_iter().collect();
    let delivered = |peer: &str| -> u64 {
        let lines = from
            .iter()
            .filter(|line| line.peer_id == peer && line.asked_for == AskedFor::Chunks);
        lines.map(|line| line.items).sum()
    };
    assert_eq!(delivered(&stalled.peer.to_base58()), 0);
    assert_eq!(delivered(&holders[0].p2p.local_peer_id()), CHUNKS);
}
