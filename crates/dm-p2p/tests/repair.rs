//! Copies are kept up over real connections, by replicas that cannot read.

use std::sync::Arc;

use dm_core::{
    Address,
    hash::DataHash,
    ports::{NetworkStatus, ObjectExchange, ObjectStore},
    trace::Trace,
};
use dm_p2p::Identity;
use dm_services::{HeldObject, RepairPorts, Repairer, repairer::plan::RepairConfig};
use dm_testing::{
    catalog::MemoryCatalog,
    key_value::MemoryKeyValueStore,
    objects::{DamagedStore, MemoryObjectStore, SampleObject},
    waiting::eventually,
};

use crate::common::{Node, config, start};

struct Guard {
    node: Node,
    repairer: Repairer,
}

fn object() -> SampleObject {
    SampleObject::new(1, 7, 700_000)
}

async fn guard(initial_peers: Vec<String>) -> Guard {
    let store = MemoryObjectStore::new();
    guard_of(Arc::new(store.clone()), store, initial_peers).await
}

/// A guard with a store, and with what that tells of its changes.
async fn guard_of(
    store: Arc<dyn ObjectStore>,
    changes: MemoryObjectStore,
    initial_peers: Vec<String>,
) -> Guard {
    let mut config = config(Identity::generate(), initial_peers);
    config.network.health_check_interval_secs = 1;
    let repair_config = RepairConfig {
        challenge_interval: 1_000,
        grace: 100,
        turn: 200,
        first_pause: 300,
        longest_pause: 1_000,
        ..RepairConfig::of(&config.network)
    };
    let node = start(config, store, Arc::new(MemoryCatalog::new())).await;
    let ports = RepairPorts {
        objects: node.store.clone(),
        replication: node.p2p.clone(),
        changes: Arc::new(changes),
        index: Arc::new(MemoryKeyValueStore::new()),
        earlier_holders: Arc::new(MemoryKeyValueStore::new()),
        shares: Arc::new(MemoryCatalog::new()),
        quota: Arc::new(MemoryObjectStore::new()),
        arrivals: None,
        replica_notices: None,
        standing: None,
    };
    let own = Address::repeat_byte(9);
    let repairer = Repairer::new(ports, own, &node.p2p.local_peer_id(), repair_config);
    let running = repairer.clone();
    node.supervisor.spawn("repairer", move |shutdown| {
        let repairer = running.clone();
        async move { repairer.run(shutdown).await }
    });
    Guard { node, repairer }
}

impl Guard {
    async fn held(&self) -> Option<HeldObject> {
        let hash = DataHash::of(&7_u64.to_le_bytes());
        self.repairer
            .holders(&hash)
            .await
            .ok()
            .map(|mut held| held.remove(0))
    }

    /// Waits until at least so many peers are known to hold the object.
    async fn has_live(&self, count: u32) {
        eventually(&format!("{count} holders are live"), async || {
            let held = self.held().await?;
            (held.live >= count).then_some(())
        })
        .await;
    }
}

async fn cluster(stores: &[MemoryObjectStore]) -> Vec<Guard> {
    let mut guards: Vec<Guard> = Vec::new();
    for store in stores {
        let known = guards.iter().map(|guard| guard.node.address()).collect();
        guards.push(guard_of(Arc::new(store.clone()), store.clone(), known).await);
    }
    for guard in &guards {
        guard.node.knows_peers(stores.len() - 1).await;
    }
    guards
}

fn stores(count: usize) -> Vec<MemoryObjectStore> {
    (0..count).map(|_| MemoryObjectStore::new()).collect()
}

/// Nodes that have the object on their disks.
async fn copies(guards: &[Guard]) -> usize {
    let mut copies = 0;
    for guard in guards {
        copies += usize::from(object().is_in(&*guard.node.store).await);
    }
    copies
}

/// Waits until at least so many nodes have the object on their disks. Where two holders
/// miss a copy at the same moment, both may bring one.
async fn has_copies(guards: &[Guard], count: usize) {
    eventually(&format!("there are {count} copies"), async || {
        (copies(guards).await >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copies_outlive_the_nodes_that_made_them() {
    let mut guards = cluster(&stores(6)).await;
    object().store_in(&*guards[0].node.store).await.unwrap();
    guards[0].node.p2p.push(&object().id(), 2).await.unwrap();
    // One after the other, those that hold it leave for good.
    for _ in 0..3 {
        has_copies(&guards, 3).await;
        let mut holder = 0;
        while !object().is_in(&*guards[holder].node.store).await {
            holder += 1;
        }
        let gone = guards.remove(holder);
        gone.node.stop().await;
    }
    has_copies(&guards, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_lost_its_disk_is_found_out_and_another_takes_its_place() {
    let stores = stores(6);
    let guards = cluster(&stores).await;
    object().store_in(&*guards[0].node.store).await.unwrap();
    guards[0].node.p2p.push(&object().id(), 2).await.unwrap();
    guards[0].has_live(2).await;
    let mut holders = Vec::new();
    for (index, guard) in guards.iter().enumerate().skip(1) {
        if object().is_in(&*guard.node.store).await {
            holders.push(index);
        }
    }
    // There may be a copy more: one is left in any case.
    for lost in &holders[1..] {
        // Nor can it take the object once more.
        stores[*lost].set_full(true);
        assert!(stores[*lost].remove(&object().id()).await.unwrap());
    }
    let spares: Vec<usize> = (1..6).filter(|index| !holders.contains(index)).collect();
    eventually("another peer has a copy", async || {
        for spare in &spares {
            if object().is_in(&stores[*spare]).await {
                return Some(());
            }
        }
        None
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_copy_is_not_claimed_until_the_holders_bring_it_anew() {
    let owner = guard(Vec::new()).await;
    let store = MemoryObjectStore::new();
    let damaged = DamagedStore::new(store.clone());
    let holder = guard_of(Arc::new(damaged.clone()), store, vec![owner.node.address()]).await;
    owner.node.knows_peers(1).await;
    holder.node.knows_peers(1).await;
    object().store_in(&*owner.node.store).await.unwrap();
    owner.node.p2p.push(&object().id(), 1).await.unwrap();
    owner.has_live(1).await;
    // Nobody has looked at the medium since, and memory has every chunk.
    for index in 0..object().envelope.chunk_count() {
        damaged.damage_on_medium(object().id(), index);
    }
    assert!(object().is_in(&damaged).await);
    // The next challenge finds it out, and the owner makes the copy anew.
    eventually("the damage is found out", async || {
        (damaged.log().all() == [object().id()]).then_some(())
    })
    .await;
    eventually("the damage is repaired", async || {
        damaged.log().all().is_empty().then_some(())
    })
    .await;
    for index in 0..object().envelope.chunk_count() {
        damaged.chunk_from_medium(&object().id(), index).await.unwrap();
    }
    owner.has_live(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_its_copy_to_be_damaged_does_not_say_that_it_has_it() {
    let store = MemoryObjectStore::new();
    let damaged = DamagedStore::new(store.clone());
    object().store_in(&damaged).await.unwrap();
    let holder = guard_of(Arc::new(damaged.clone()), store, Vec::new()).await;
    let reader = guard(vec![holder.node.address()]).await;
    reader.node.knows_peers(1).await;
    let find = async || {
        let (locator, trace) = (object().id().locator, Trace::default());
        reader.node.p2p.find(&locator, &[], &trace).await.unwrap().len()
    };
    assert_eq!(find().await, 1);
    damaged.log().found(object().id());
    assert_eq!(find().await, 0);
    damaged.log().mended(&object().id());
    assert_eq!(find().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_its_owner_has_replaced_over_other_chunks_is_kept_by_no_replica() {
    // It holds the object and looks after nothing, so that it brings the newer version to nobody.
    let config = config(Identity::generate(), Vec::new());
    let store = Arc::new(MemoryObjectStore::new());
    let idle = start(config, store, Arc::new(MemoryCatalog::new())).await;
    let replica = guard(vec![idle.address()]).await;
    let replaced = object();
    for node in [&idle, &replica.node] {
        replaced.store_in(&*node.store).await.unwrap();
    }
    replica.has_live(1).await;

    let chunks = vec![SampleObject::chunk(8, 0, 100)];
    let envelope = SampleObject::sign(1, 7, 100, &chunks, 2);
    let newer = SampleObject { envelope, chunks };
    newer.store_in(&*idle.store).await.unwrap();
    eventually("the replaced version is gone", async || {
        let held = replica.node.store.envelope(&replaced.id()).await.unwrap();
        (held.as_ref() != Some(&replaced.envelope)).then_some(())
    })
    .await;
}
