//! Copies are watched and renewed, by owners and by replicas.

use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{
    Address,
    clock::now_ms,
    config::NetworkConfig,
    envelope::Envelope,
    hash::DataHash,
    ports::{Kept, KeptLimits, NetworkStatus, ObjectExchange, ObjectStore, OwnerStanding, StorageQuota},
    signed::Signed,
    tasks::Supervisor,
};
use dm_services::{HeldObject, RepairPorts, Repairer, repairer::plan::RepairConfig};
use dm_testing::{
    catalog::MemoryCatalog,
    key_value::MemoryKeyValueStore,
    network::{LyingStore, MemoryNetwork, MemoryNode},
    objects::{DamagedStore, MemoryObjectStore, SampleObject},
    signer::TestSigner,
    waiting::{PATIENCE, eventually},
};

pub(crate) fn config() -> RepairConfig {
    RepairConfig {
        challenge_interval: 200,
        grace: 50,
        turn: 20,
        first_pause: 50,
        longest_pause: 200,
        claim_patience: 2_000,
        keep_tombstones: 1_500,
        ..RepairConfig::of(&NetworkConfig::default())
    }
}

/// A node that looks after its copies.
struct Guard {
    node: Arc<MemoryNode>,
    store: Arc<dyn ObjectStore>,
    changes: MemoryObjectStore,
    index: MemoryKeyValueStore,
    repairer: Repairer,
    tasks: Supervisor,
}

pub(crate) fn ports(
    node: &Arc<MemoryNode>,
    store: Arc<dyn ObjectStore>,
    changes: &MemoryObjectStore,
    index: &MemoryKeyValueStore,
) -> RepairPorts {
    RepairPorts {
        objects: store,
        changes: Arc::new(changes.clone()),
        replication: node.clone(),
        index: Arc::new(index.clone()),
        earlier_holders: Arc::new(MemoryKeyValueStore::new()),
        shares: Arc::new(MemoryCatalog::new()),
        quota: Arc::new(MemoryObjectStore::new()),
        arrivals: None,
        replica_notices: None,
        standing: None,
    }
}

impl Guard {
    fn join_with(network: &MemoryNetwork, store: &MemoryObjectStore) -> Self {
        Self::join(network, Arc::new(store.clone()), store.clone())
    }

    fn join(network: &MemoryNetwork, store: Arc<dyn ObjectStore>, changes: MemoryObjectStore) -> Self {
        let index = MemoryKeyValueStore::new();
        let node = network.join(store.clone());
        Self::start(node, store, changes, index)
    }

    fn start(
        node: Arc<MemoryNode>,
        store: Arc<dyn ObjectStore>,
        changes: MemoryObjectStore,
        index: MemoryKeyValueStore,
    ) -> Self {
        let ports = ports(&node, store.clone(), &changes, &index);
        // Nobody here owns the objects: all are replicas that cannot read.
        let repairer = Repairer::new(ports, Address::repeat_byte(9), &node.local_peer_id(), config());
        let tasks = run(&repairer);
        Self {
            node,
            store,
            changes,
            index,
            repairer,
            tasks,
        }
    }

    async fn held(&self) -> HeldObject {
        self.repairer.holders(&data_hash()).await.unwrap().remove(0)
    }

    /// Waits until so many holders are live.
    async fn has_live(&self, count: u32) {
        eventually(&format!("{count} holders are live"), async || {
            (self.held().await.live == count).then_some(())
        })
        .await;
    }
}

fn run(repairer: &Repairer) -> Supervisor {
    let tasks = Supervisor::new();
    let running = repairer.clone();
    tasks.spawn("repairer", move |shutdown| {
        let repairer = running.clone();
        async move { repairer.run(shutdown).await }
    });
    tasks
}

fn object() -> SampleObject {
    SampleObject::new(1, 7, 300_000)
}

fn data_hash() -> DataHash {
    DataHash::of(&7_u64.to_le_bytes())
}

/// Waits until at least so many of the stores have the object. Where two holders
/// miss a copy at the same moment, both may bring one.
async fn become_copies(stores: &[MemoryObjectStore], count: usize) {
    eventually(&format!("there are {count} copies"), async || {
        (copies(stores).await >= count).then_some(())
    })
    .await;
}

async fn copies(stores: &[MemoryObjectStore]) -> usize {
    let mut copies = 0;
    for store in stores {
        copies += usize::from(object().is_in(store).await);
    }
    copies
}

fn network(nodes: usize) -> (Vec<MemoryObjectStore>, Vec<Guard>) {
    let hub = MemoryNetwork::new();
    let stores: Vec<MemoryObjectStore> = (0..nodes).map(|_| MemoryObjectStore::new()).collect();
    let guards = stores.iter().map(|store| Guard::join_with(&hub, store)).collect();
    (stores, guards)
}

#[tokio::test]
async fn a_damaged_record_costs_no_other_object_its_copies() {
    let hub = MemoryNetwork::new();
    let sound = MemoryObjectStore::new();
    // Whatever their order, each object but one stands behind a damaged record or before it.
    let objects: Vec<_> = (20..26).map(|seed| SampleObject::new(1, seed, 1000)).collect();
    for object in &objects {
        object.store_in(&sound).await.unwrap();
    }
    let damaged = DamagedStore::new(sound.clone());
    let first = objects.iter().map(SampleObject::id).min().unwrap();
    damaged.damage_record(first);
    let guard = Guard::join(&hub, Arc::new(damaged.clone()), sound);
    let others: Vec<_> = (0..4)
        .map(|_| Guard::join_with(&hub, &MemoryObjectStore::new()))
        .collect();
    eventually("the other objects are copied", async || {
        let mut copied = 0;
        for object in objects.iter().filter(|object| object.id() != first) {
            for other in &others {
                copied += usize::from(object.is_in(&*other.store).await);
            }
        }
        (copied >= objects.len() - 1).then_some(())
    })
    .await;
    assert!(damaged.is_damaged(&first), "the damage is noted");
    drop(guard);
}

#[tokio::test]
async fn a_replica_repairs_what_it_cannot_read() {
    let (stores, guards) = network(5);
    object().store_in(&stores[0]).await.unwrap();
    // It was stored before the repairer looked: its peers are found.
    guards[0].node.push(&object().id(), 1).await.unwrap();
    become_copies(&stores, 3).await;
    guards[0].has_live(2).await;

    let held = guards[0].held().await;
    assert_eq!((held.wanted, held.own, held.size), (2, false, 300_000));
    let gone = guards
        .iter()
        .position(|guard| held.holders[0].peer_id == guard.node.local_peer_id())
        .unwrap();
    guards[gone].node.set_online(false);
    become_copies(&stores, 4).await;
    guards[0].has_live(2).await;
}

#[tokio::test]
async fn holders_are_proven_and_their_times_are_told() {
    let (stores, guards) = network(3);
    for store in &stores {
        object().store_in(store).await.unwrap();
    }
    guards[0].node.push(&object().id(), 2).await.unwrap();
    eventually("both holders have proven their copies", async || {
        let holders = guards[0].held().await.holders;
        let proven = holders.iter().filter(|holder| holder.proved_at.is_some());
        (holders.len() == 2 && proven.count() == 2).then_some(())
    })
    .await;
    for holder in guards[0].held().await.holders {
        assert!(holder.live && holder.proved_at.unwrap() >= holder.since && holder.since > 0);
    }
    assert!(guards[0].repairer.meter().proven.value() >= 2);
    eventually("the index counts the object and its copies", async || {
        let totals = guards[0].repairer.totals().await.unwrap();
        ((totals.objects, totals.short) == (1, 0)).then_some(())
    })
    .await;
    // The others learned of all three by being asked.
    guards[2].has_live(2).await;
}

#[tokio::test]
async fn a_holder_that_threw_its_copy_away_is_replaced() {
    let (stores, guards) = network(4);
    object().store_in(&stores[0]).await.unwrap();
    guards[0].node.push(&object().id(), 2).await.unwrap();
    guards[0].has_live(2).await;
    assert!(stores[1].remove(&object().id()).await.unwrap());
    // At its old place or at another: whoever finds out first decides.
    become_copies(&stores, 3).await;
}

#[tokio::test]
async fn a_holder_of_other_bytes_is_replaced_and_not_asked_to_hold_it_again() {
    let hub = MemoryNetwork::new();
    let stores: Vec<MemoryObjectStore> = (0..3).map(|_| MemoryObjectStore::new()).collect();
    let lies = MemoryObjectStore::new();
    let liar = LyingStore::new(Arc::new(lies.clone()));
    let keeper = Guard::join_with(&hub, &stores[0]);
    let liar = Guard::join(&hub, Arc::new(liar), lies);
    object().store_in(&stores[0]).await.unwrap();
    keeper.node.push(&object().id(), 1).await.unwrap();
    eventually("the liar is caught, and is no holder", async || {
        let is_caught = keeper.repairer.meter().wrong.value() > 0;
        (is_caught && keeper.held().await.holders.is_empty()).then_some(())
    })
    .await;
    let _others: Vec<Guard> = stores[1..]
        .iter()
        .map(|store| Guard::join_with(&hub, store))
        .collect();
    keeper.has_live(2).await;
    let held = keeper.held().await;
    let liar_id = liar.node.local_peer_id();
    assert!(held.holders.iter().all(|holder| holder.peer_id != liar_id));
}

#[tokio::test]
async fn after_a_restart_the_holders_are_known_at_once() {
    let (stores, guards) = network(3);
    object().store_in(&stores[0]).await.unwrap();
    guards[0].node.push(&object().id(), 2).await.unwrap();
    eventually("both holders have proven their copies", async || {
        let holders = guards[0].held().await.holders;
        let proven = holders.iter().filter(|holder| holder.proved_at.is_some());
        (holders.len() == 2 && proven.count() == 2).then_some(())
    })
    .await;
    let before = guards[0].held().await;
    assert!(guards[0].tasks.shut_down(PATIENCE).await);
    for guard in &guards {
        guard.node.set_online(false);
    }
    let again = Guard::start(
        guards[0].node.clone(),
        guards[0].store.clone(),
        guards[0].changes.clone(),
        guards[0].index.clone(),
    );
    eventually("both holders are known", async || {
        (again.held().await.holders.len() == 2).then_some(())
    })
    .await;
    let after = again.held().await;
    let since = |held: &HeldObject| held.holders.iter().map(|holder| holder.since).collect::<Vec<_>>();
    assert_eq!(since(&after), since(&before));
}

#[tokio::test]
async fn what_is_not_stored_here_has_no_holders_to_show() {
    let (_stores, guards) = network(1);
    assert!(guards[0].repairer.holders(&data_hash()).await.is_err());
}

#[tokio::test]
async fn replicas_delete_what_has_ended_though_its_owner_is_gone() {
    let (stores, guards) = network(4);
    let end = now_ms() + 1500;
    let envelope = object().envelope_that_ends(1, end);
    object().store_under(&stores[0], &envelope).await.unwrap();
    // Nobody of these is its owner.
    guards[0].node.push(&object().id(), 1).await.unwrap();
    eventually("there are three copies", async || {
        (count_stored(&stores).await == 3).then_some(())
    })
    .await;
    eventually("no copy is left", async || {
        (count_stored(&stores).await == 0).then_some(())
    })
    .await;
    assert!(now_ms() >= end, "not before its time");
    // Nor does anybody bring it back.
    let returned = &stores[3];
    object().store_under(returned, &envelope).await.unwrap();
    let pushed = guards[3].node.push(&object().id(), 3).await.unwrap();
    assert_eq!(pushed.holders.len(), 0);
    eventually("no copy is left", async || {
        (count_stored(&stores).await == 0).then_some(())
    })
    .await;
}

async fn count_stored(stores: &[MemoryObjectStore]) -> usize {
    let mut count = 0;
    for store in stores {
        count += store.list(None, 10).await.unwrap().len();
    }
    count
}

/// A store whose room for others is limited.
struct Limited(MemoryObjectStore);

const ROOM: u64 = 400_000;

impl StorageQuota for Limited {
    fn kept(&self) -> Kept {
        self.0.kept()
    }

    fn limits(&self) -> KeptLimits {
        KeptLimits {
            foreign: ROOM,
            ..KeptLimits::NONE
        }
    }
}

/// Knows one owner who has something at stake.
struct OneEstablished(Address);

#[async_trait]
impl OwnerStanding for OneEstablished {
    async fn is_established(&self, owner: Address) -> bool {
        owner == self.0
    }
}

#[tokio::test]
async fn when_room_is_short_the_copies_of_strangers_go_first() {
    let store = MemoryObjectStore::new();
    // Each takes a quarter of the room.
    let objects: Vec<_> = (1..=3)
        .map(|owner| SampleObject::new(owner, 7, 100_000))
        .collect();
    for object in &objects {
        object.store_in(&store).await.unwrap();
    }
    let established = objects[1].id().owner;
    let node = MemoryNetwork::new().join(Arc::new(store.clone()));
    let ports = RepairPorts {
        quota: Arc::new(Limited(store.clone())),
        arrivals: None,
        replica_notices: None,
        standing: Some(Arc::new(OneEstablished(established))),
        ..ports(
            &node,
            Arc::new(store.clone()),
            &store,
            &MemoryKeyValueStore::new(),
        )
    };
    let repairer = Repairer::new(ports, Address::repeat_byte(9), &node.local_peer_id(), config());
    let _tasks = run(&repairer);
    eventually("copies are dropped", async || {
        (repairer.make_room().await.unwrap() > 0).then_some(())
    })
    .await;
    eventually("one copy is left", async || {
        repairer.make_room().await.unwrap();
        (store.list(None, 10).await.unwrap().len() == 1).then_some(())
    })
    .await;
    assert!(
        objects[1].is_in(&store).await,
        "that of the established owner stays"
    );
    assert_eq!(repairer.make_room().await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_left_of_an_erased_object_ends_as_well() {
    let (stores, guards) = network(2);
    let id = object().id();
    let kept_for = config().keep_tombstones;
    let erased = Envelope::tombstone(id, 5, now_ms());
    let erased = Signed::sign(erased, &TestSigner::new(1)).unwrap();
    stores[0].create().await.unwrap().finish(&erased).await.unwrap();
    guards[0].node.push(&id, 1).await.unwrap();
    eventually("both hold what is left", async || {
        (count_stored(&stores).await == 2).then_some(())
    })
    .await;
    eventually("nothing is left", async || {
        (count_stored(&stores).await == 0).then_some(())
    })
    .await;
    assert!(now_ms() >= erased.created_at + kept_for, "not before its time");
}
