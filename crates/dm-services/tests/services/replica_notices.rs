//! Replicas tell recipients of objects whose owners are gone.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_core::{
    Address,
    address_record::AddressRecord,
    clock::now_ms,
    envelope::{Envelope, Grant, ObjectId},
    letter::Letter,
    ports::{
        AddressDirectory, KeyValueStore, NetworkStatus, NoticeNetwork, ObjectChanges, OwnerStanding, Signer,
    },
    signed::Signed,
    tasks::Supervisor,
};
use dm_services::{RepairPorts, Repairer, ReplicaNoticePorts, ReplicaNotices};
use dm_testing::{
    key_value::MemoryKeyValueStore,
    network::{MemoryInbox, MemoryNetwork, MemoryNode},
    objects::{MemoryObjectStore, SampleObject},
    signer::TestSigner,
    waiting::{PATIENCE, eventually},
};

use crate::repairing::{config as repair_config, ports as repair_ports};

const READER: u8 = 2;
const REPLICA: u8 = 3;

fn address(account: u8) -> Address {
    TestSigner::new(account).address()
}

/// Those who have something at stake.
struct Established(HashSet<Address>);

#[async_trait]
impl OwnerStanding for Established {
    async fn is_established(&self, owner: Address) -> bool {
        self.0.contains(&owner)
    }
}

/// A replica of objects of account 1, which is established, and a reader that is there.
struct Replica {
    network: MemoryNetwork,
    node: Arc<MemoryNode>,
    store: MemoryObjectStore,
    queue: MemoryKeyValueStore,
    inbox: Arc<MemoryInbox>,
    reader: Arc<MemoryNode>,
}

impl Replica {
    fn new() -> Self {
        let network = MemoryNetwork::new();
        let store = MemoryObjectStore::new();
        let (reader, inbox) = (network.join(Arc::new(MemoryObjectStore::new())), Arc::default());
        reader.take_notices(address(READER), Arc::clone(&inbox) as Arc<_>);
        Self {
            node: network.join(Arc::new(store.clone())),
            network,
            store,
            queue: MemoryKeyValueStore::new(),
            inbox,
            reader,
        }
    }

    /// Looks after what is stored, and tells readers unless it is idle, until the tasks end.
    fn run(&self, is_idle: bool) -> Supervisor {
        let notices = ReplicaNotices::new(
            ReplicaNoticePorts {
                network: self.node.clone(),
                objects: Arc::new(self.store.clone()),
                queue: Arc::new(self.queue.clone()),
                standing: Some(Arc::new(Established(HashSet::from([address(1)])))),
                signer: Arc::new(TestSigner::new(REPLICA)),
            },
            Duration::from_millis(50),
        );
        let ports = RepairPorts {
            replica_notices: Some(notices.clone()),
            ..repair_ports(
                &self.node,
                Arc::new(self.store.clone()),
                &self.store,
                &MemoryKeyValueStore::new(),
            )
        };
        let repairer = Repairer::new(
            ports,
            address(REPLICA),
            &self.node.local_peer_id(),
            repair_config(),
        );
        let tasks = Supervisor::new();
        tasks.spawn("repairer", move |shutdown| {
            let repairer = repairer.clone();
            async move { repairer.run(shutdown).await }
        });
        if !is_idle {
            tasks.spawn("replica notices", move |shutdown| {
                let notices = notices.clone();
                async move { notices.run(shutdown).await }
            });
        }
        tasks
    }

    /// The owner's node, which says where it is.
    async fn owner(&self, account: u8) -> Arc<MemoryNode> {
        let node = self.network.join(Arc::new(MemoryObjectStore::new()));
        let record = AddressRecord::new(address(account), [0; 32], node.local_peer_id(), 1);
        let record = Signed::sign(record, &TestSigner::new(account)).unwrap();
        node.announce(record.into()).await.unwrap();
        node
    }

    /// Takes an object of an owner that these accounts may read.
    async fn takes(&self, owner: u8, seed: u64, readers: &[u8]) -> ObjectId {
        let sample = SampleObject::new(owner, seed, 1000);
        let grants = readers.iter().map(|reader| Grant {
            recipient: address(*reader),
            key_id: [0; 8],
            encapsulated_key: [0; 32],
            ciphertext: vec![0; 48],
        });
        let envelope = Envelope {
            grants: grants.collect(),
            created_at: now_ms(),
            ..(*sample.envelope_with_sequence(owner, 1)).clone()
        };
        let envelope = Signed::sign(envelope, &TestSigner::new(owner)).unwrap();
        sample.store_under(&self.store, &envelope).await.unwrap();
        sample.id()
    }

    /// Waits until it has taken note of everything that is stored.
    async fn has_looked(&self) {
        eventually("the replica takes note of what is stored", async || {
            let changes = self.store.unsettled(None, 1).await.unwrap();
            changes.is_empty().then_some(())
        })
        .await;
    }

    /// Waits until nothing is left to do about it.
    async fn is_done(&self) {
        self.has_looked().await;
        eventually("the replica has nothing left to do", async || {
            let left = self.queue.scan(b"", None, 9).await.unwrap();
            left.is_empty().then_some(())
        })
        .await;
    }

    /// The objects that the reader was told of.
    fn told(&self) -> Vec<ObjectId> {
        self.inbox.taken().iter().map(Letter::object).collect()
    }
}

#[tokio::test]
async fn a_replica_tells_the_readers_of_an_object_whose_owner_is_gone() {
    let replica = Replica::new();
    let owner = replica.owner(1).await;
    let _tasks = replica.run(false);
    owner.set_online(false);
    let object = replica.takes(1, 7, &[1, READER, REPLICA]).await;
    replica.is_done().await;
    assert_eq!(replica.told(), [object]);
    let notice = replica.inbox.taken()[0].clone();
    assert_eq!(
        (notice.sender(), notice.addressee()),
        (address(REPLICA), address(READER))
    );
}

#[tokio::test]
async fn while_its_owner_is_there_a_replica_says_nothing_of_an_object() {
    let replica = Replica::new();
    let owner = replica.owner(1).await;
    let _tasks = replica.run(false);
    replica.takes(1, 7, &[READER]).await;
    replica.is_done().await;
    // Keys cost nothing: this owner, who is nowhere, has nothing at stake.
    replica.takes(9, 8, &[READER]).await;
    owner.set_online(false);
    let object = replica.takes(1, 9, &[READER]).await;
    replica.has_looked().await;
    eventually("the reader is told of the third", async || {
        replica.told().contains(&object).then_some(())
    })
    .await;
    assert_eq!(replica.told(), [object]);
}

#[tokio::test]
async fn what_a_replica_has_still_to_tell_outlives_the_process() {
    let replica = Replica::new();
    let idle = replica.run(true);
    let object = replica.takes(1, 7, &[READER]).await;
    replica.has_looked().await;
    assert!(idle.shut_down(PATIENCE).await);
    assert!(replica.told().is_empty());
    let _tasks = replica.run(false);
    replica.is_done().await;
    assert_eq!(replica.told(), [object]);
}

#[tokio::test]
async fn a_notice_of_a_replica_waits_for_a_recipient_that_is_away() {
    let replica = Replica::new();
    let keeper = replica.network.join(Arc::new(MemoryObjectStore::new()));
    keeper.take_notices(address(4), Arc::new(MemoryInbox::default()));
    replica.inbox.set_closed(true);
    let _tasks = replica.run(false);
    let object = replica.takes(1, 7, &[READER]).await;
    replica.is_done().await;
    let reader = replica.owner(READER).await;
    let waiting = reader.collect(&[]).await.unwrap();
    let objects: Vec<ObjectId> = waiting.iter().map(Letter::object).collect();
    assert_eq!(objects, [object]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_prepares_no_notice_before_a_peer_is_there_to_take_it() {
    let replica = Replica::new();
    replica.reader.set_online(false);
    let _tasks = replica.run(false);
    let object = replica.takes(1, 7, &[READER]).await;
    replica.has_looked().await;
    let queued = replica.queue.scan(b"", None, 9).await.unwrap();
    let (key, _) = queued.iter().find(|(key, _)| key.starts_with(b"d")).unwrap();
    let at = u64::from_be_bytes(key[1..9].try_into().unwrap());
    // The clock of the machine goes by itself, that of the runtime as fast as nothing is to be done.
    while now_ms() <= at {
        std::thread::yield_now();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(replica.queue.scan(b"", None, 9).await.unwrap(), queued);

    replica.reader.set_online(true);
    replica.is_done().await;
    assert_eq!(replica.told(), [object]);
}
