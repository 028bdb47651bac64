//! Recipients are told of what was shared with them, until they know it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_core::{
    Address, B256,
    acknowledgement::{Acknowledgement, Delivery},
    address_record::AddressRecord,
    bus::EventBus,
    clock::now_ms,
    config::Acknowledge,
    envelope::{Envelope, Grant, ObjectId},
    event::NewEvent,
    hash::DataHash,
    letter::Letter,
    news::News,
    notice::Notice,
    ports::{
        Acquaintance, AddressDirectory, DeliveryCatalog, ErasureCause, Erasures, EventJournal, EventLog,
        InboxCatalog, LogEntry, NetworkStatus, NoticeNetwork, NoticeSink, ObjectStore, Revocations,
        ShareCatalog, Signer, Standing,
    },
    share::ShareRecord,
    signed::Signed,
};
use dm_services::{
    Deliveries, DeliveryPorts, DeliverySettings, LateNews, Letterbox, NoticePorts, Notices, inbox::Arrivals,
};
use dm_testing::{
    catalog::{MemoryCatalog, deliveries::delivery},
    compliance::{MemoryComplianceLog, TestLedger},
    key_value::MemoryKeyValueStore,
    network::{MemoryInbox, MemoryNetwork, MemoryNode},
    objects::{MemoryObjectStore, SampleObject},
    signer::TestSigner,
    waiting::eventually,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An owner that tells its recipients.
pub(crate) struct Owner {
    pub(crate) node: Arc<MemoryNode>,
    pub(crate) signer: Arc<TestSigner>,
    pub(crate) catalog: Arc<MemoryCatalog>,
    objects: MemoryObjectStore,
    pub(crate) outbox: MemoryKeyValueStore,
    pub(crate) bus: EventBus,
}

impl Owner {
    pub(crate) fn join(network: &MemoryNetwork) -> Self {
        let objects = MemoryObjectStore::new();
        Self {
            node: network.join(Arc::new(objects.clone())),
            signer: Arc::new(TestSigner::new(1)),
            catalog: Arc::new(MemoryCatalog::new()),
            outbox: MemoryKeyValueStore::new(),
            bus: EventBus::new(),
            objects,
        }
    }

    pub(crate) async fn run(&self) -> Running {
        let notices = Notices::new(NoticePorts {
            network: self.node.clone(),
            journal: self.catalog.clone(),
            objects: Arc::new(self.objects.clone()),
            outbox: Arc::new(self.outbox.clone()),
            shares: self.catalog.clone(),
            sent: self.catalog.clone(),
            signer: self.signer.clone(),
            contacts: self.catalog.clone(),
            arrivals: Arrivals::new(self.catalog.clone()),
            deliveries: deliveries(&self.catalog, &self.objects, &self.signer),
            bus: self.bus.clone(),
            late_news: LateNews::default(),
        });
        let stop = CancellationToken::new();
        let (running, stopping) = (notices, stop.clone());
        Running {
            task: tokio::spawn(async move { running.run(stopping).await.unwrap() }),
            stop,
        }
    }

    /// Shares data number `n`; with a grant, if there is one.
    pub(crate) async fn share(&self, n: u64, recipient: Address, is_granted: bool) -> ObjectId {
        self.store(n, recipient, is_granted, 1).await;
        let record = ShareRecord::new(data_hash(n), recipient, now_ms());
        self.catalog.commit_share(&record.into()).await.unwrap();
        SampleObject::new(1, n, 1000).id()
    }

    async fn store(&self, n: u64, recipient: Address, is_granted: bool, sequence: u64) {
        let sample = SampleObject::new(1, n, 1000);
        let grant = Grant {
            recipient,
            key_id: [0; 8],
            encapsulated_key: [0; 32],
            ciphertext: vec![0; 48],
        };
        let envelope = Envelope {
            grants: is_granted.then_some(grant).into_iter().collect(),
            ..(*sample.envelope_with_sequence(1, sequence)).clone()
        };
        let envelope = Signed::sign(envelope, self.signer.as_ref()).unwrap();
        if sequence == 1 {
            sample.store_under(&self.objects, &envelope).await.unwrap();
        } else {
            self.objects.replace_envelope(&envelope).await.unwrap();
        }
    }
}

/// Those of a node with a log of its own.
fn deliveries(
    catalog: &Arc<MemoryCatalog>,
    objects: &MemoryObjectStore,
    signer: &Arc<TestSigner>,
) -> Deliveries {
    let log = MemoryComplianceLog::new(signer.address(), &TestLedger::new()).kept_in(catalog.clone());
    let ports = DeliveryPorts {
        catalog: catalog.clone(),
        objects: Arc::new(objects.clone()),
        log: Arc::new(log),
        signer: signer.clone(),
    };
    let settings = DeliverySettings {
        acknowledge: Acknowledge::OnFetch,
        retry_interval: Duration::from_millis(20),
    };
    Deliveries::new(ports, settings)
}

fn data_hash(n: u64) -> DataHash {
    DataHash::of(&n.to_le_bytes())
}

pub(crate) fn recipient() -> Address {
    TestSigner::new(2).address()
}

pub(crate) fn objects(inbox: &MemoryInbox) -> Vec<ObjectId> {
    inbox.taken().iter().map(Letter::object).collect()
}

/// Waits until the recipient knows of so many objects.
pub(crate) async fn knows(inbox: &MemoryInbox, count: usize) {
    eventually(&format!("the recipient knows of {count} objects"), async || {
        (objects(inbox).len() >= count).then_some(())
    })
    .await;
}

pub(crate) struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_recipient_is_told_of_a_share_once() {
    let network = MemoryNetwork::new();
    let owner = Owner::join(&network);
    let reader = network.join(Arc::new(MemoryObjectStore::new()));
    let inbox = Arc::new(MemoryInbox::default());
    reader.take_notices(recipient(), inbox.clone());
    let running = owner.run().await;
    let first = owner.share(1, recipient(), true).await;
    knows(&inbox, 1).await;
    let second = owner.share(2, recipient(), true).await;
    knows(&inbox, 2).await;
    assert_eq!(objects(&inbox), [first, second]);
    let notice = inbox.taken()[0].clone();
    assert_eq!(
        (notice.sender(), notice.addressee()),
        (owner.signer.address(), recipient())
    );
    running.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_recipient_is_told_together() {
    let network = MemoryNetwork::new();
    let owner = Owner::join(&network);
    for n in 0..100 {
        owner.share(n, recipient(), true).await;
    }
    let reader = network.join(Arc::new(MemoryObjectStore::new()));
    let inbox = Arc::new(MemoryInbox::default());
    reader.take_notices(recipient(), inbox.clone());
    let running = owner.run().await;
    knows(&inbox, 100).await;
    running.stop().await;
    // Sixty-four letters travel together.
    assert_eq!(inbox.came(), [64, 36]);
    let objects: BTreeSet<ObjectId> = objects(&inbox).into_iter().collect();
    assert_eq!(objects.len(), 100);
}

/// The versions of the object that a recipient was told of.
fn sequences(inbox: &MemoryInbox) -> Vec<u64> {
    inbox.taken().iter().map(Letter::sequence).collect()
}

async fn knows_versions(inbox: &MemoryInbox, versions: &[u64]) {
    eventually(
        &format!("the recipient knows of the versions {versions:?}"),
        async || (sequences(inbox) == versions).then_some(()),
    )
    .await;
}

#[tokio::test]
async fn a_recipient_is_told_again_once_the_envelope_has_its_receipt() {
    let network = MemoryNetwork::new();
    let owner = Owner::join(&network);
    let reader = network.join(Arc::new(MemoryObjectStore::new()));
    let inbox = Arc::new(MemoryInbox::default());
    reader.take_notices(recipient(), inbox.clone());
    let running = owner.run().await;
    owner.share(1, recipient(), true).await;
    knows_versions(&inbox, &[1]).await;
    let anchored = News::ShareAnchored {
        data_hash: data_hash(1),
        recipient: recipient(),
        tx_hash: B256::ZERO,
        block: 1,
        anchored_at: 1,
    };
    owner.catalog.append_news(vec![anchored]).await.unwrap();
    owner.store(1, recipient(), true, 2).await;
    owner
        .catalog
        .set_receipt_spread(&data_hash(1), recipient())
        .await
        .unwrap();
    knows_versions(&inbox, &[1, 2]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_recipient_is_told_of_the_end_of_its_share_once_the_envelope_has_it() {
    let network = MemoryNetwork::new();
    let owner = Owner::join(&network);
    let reader = network.join(Arc::new(MemoryObjectStore::new()));
    let inbox = Arc::new(MemoryInbox::default());
    reader.take_notices(recipient(), inbox.clone());
    let running = owner.run().await;
    owner.share(1, recipient(), true).await;
    knows_versions(&inbox, &[1]).await;
    owner
        .catalog
        .begin_revocation(&data_hash(1), recipient())
        .await
        .unwrap();
    owner.store(1, recipient(), false, 2).await;
    knows_versions(&inbox, &[1, 2]).await;
    owner
        .catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    owner.store(1, recipient(), false, 3).await;
    knows_versions(&inbox, &[1, 2, 3]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_still_to_be_told_outlives_the_process() {
    let network = MemoryNetwork::new();
    let owner = Owner::join(&network);
    // Nobody runs while these are shared.
    let shared = [
        owner.share(1, recipient(), true).await,
        owner.share(2, recipient(), true).await,
    ];
    let reader = network.join(Arc::new(MemoryObjectStore::new()));
    let inbox = Arc::new(MemoryInbox::default());
    reader.take_notices(recipient(), inbox.clone());
    let running = owner.run().await;
    knows(&inbox, 2).await;
    running.stop().await;
    let mut told = objects(&inbox);
    told.sort_unstable();
    let mut expected = shared.to_vec();
    expected.sort_unstable();
    assert_eq!(told, expected);
    // What was told is not told again.
    let running = owner.run().await;
    let third = owner.share(3, recipient(), true).await;
    knows(&inbox, 3).await;
    assert_eq!(objects(&inbox)[2..], [third]);
    running.stop().await;
}

#[tokio::test]
async fn a_recipient_that_is_away_finds_its_notices_with_others() {
    let network = MemoryNetwork::new();
    let owner = Owner::join(&network);
    let keeper = network.join(Arc::new(MemoryObjectStore::new()));
    keeper.take_notices(TestSigner::new(3).address(), Arc::new(MemoryInbox::default()));
    let reader = network.join(Arc::new(MemoryObjectStore::new()));
    // It takes no notices itself yet.
    announce(&reader).await;
    let running = owner.run().await;
    let shared = owner.share(1, recipient(), true).await;
    eventually("the notice is kept", async || {
        (!reader.collect(&[]).await.unwrap().is_empty()).then_some(())
    })
    .await;
    running.stop().await;
    owner.node.set_online(false);
    let waiting = reader.collect(&[]).await.unwrap();
    let objects: Vec<ObjectId> = waiting.iter().map(Letter::object).collect();
    assert_eq!(objects, [shared]);
}

/// Lets the network know where account 2 is.
async fn announce(reader: &MemoryNode) {
    announce_as(reader, &TestSigner::new(2)).await;
}

pub(crate) async fn announce_as(node: &MemoryNode, signer: &TestSigner) {
    let record = AddressRecord {
        address: signer.address(),
        hpke_public_key: [0; 32],
        peer_id: node.local_peer_id(),
        sequence: 1,
        operator: None,
        attestation: None,
        further_peers: Vec::new(),
    };
    let record = Signed::sign(record, signer).unwrap();
    node.announce(record.into()).await.unwrap();
}

/// Knows account 5 as a contact, and account 6 as one that is blocked.
struct Known;

#[async_trait]
impl Acquaintance for Known {
    async fn standing_of(&self, account: Address) -> Standing {
        if account == TestSigner::new(5).address() {
            Standing::Contact
        } else if account == TestSigner::new(6).address() {
            Standing::Blocked
        } else {
            Standing::Stranger
        }
    }
}

fn notice(owner: u8, n: u64) -> Letter {
    notice_for(recipient(), owner, n)
}

pub(crate) fn notice_for(recipient: Address, owner: u8, n: u64) -> Letter {
    let signer = TestSigner::new(owner);
    let now = now_ms();
    let notice = Notice {
        sender: signer.address(),
        recipient,
        object: ObjectId {
            locator: data_hash(n).locator(),
            owner: signer.address(),
        },
        sequence: 1,
        made_at: now,
        ends_at: now + 1_000_000,
    };
    Signed::sign(notice, &signer).unwrap().into()
}

#[tokio::test]
async fn a_flood_of_strangers_does_not_hide_the_notice_of_a_contact() {
    let catalog = Arc::new(MemoryCatalog::new());
    let arrivals = Arrivals::new(catalog.clone());
    let signer = Arc::new(TestSigner::new(2));
    let deliveries = deliveries(&catalog, &MemoryObjectStore::new(), &signer);
    let sink = Letterbox::new(recipient(), Arc::new(Known), arrivals, deliveries);
    let mut taken = 0;
    for n in 0..3000 {
        taken += usize::from(sink.arrived(vec![notice(7, n)]).await == [true]);
    }
    assert!((1000..2900).contains(&taken), "{taken} of 3000 were taken");
    let of_contact = notice(5, 1);
    let of_somebody_else = notice_for(TestSigner::new(4).address(), 5, 2);
    // A stranger's, one of a contact, one of a contact for somebody else, and one that is blocked,
    // who does not learn of it.
    let others = [of_contact.clone(), of_somebody_else, notice(6, 1)];
    let together = |n| [&[notice(7, n)][..], &others].concat();
    // Strangers have room again from time to time.
    let refused = eventually("a stranger's is refused", async || {
        let answers = sink.arrived(together(3000 + taken as u64)).await;
        taken += usize::from(answers[0]);
        (!answers[0]).then_some(answers)
    });
    assert_eq!(refused.await, [false, true, true, true]);
    let arrived = catalog.arrivals(None, 10_000).await.unwrap();
    let objects: Vec<ObjectId> = arrived.iter().map(|arrival| arrival.object).collect();
    assert!(objects.contains(&of_contact.object()));
    assert!(!objects.contains(&notice(6, 1).object()));
    assert_eq!(arrived.len(), taken + 1);
}

#[tokio::test]
async fn an_owner_is_told_of_what_was_read_until_it_knows() {
    let network = MemoryNetwork::new();
    // Account 1 reads what account 5 has shared with it.
    let reader = Owner::join(&network);
    let read = delivery(1, 5, 1);
    let now = now_ms();
    let statement = Acknowledgement {
        fetched_at: now,
        made_at: now,
        ..read.statement.statement().clone()
    };
    let read = Delivery {
        statement: Signed::sign(statement, reader.signer.as_ref()).unwrap(),
        ..read
    };
    reader.catalog.keep_delivery(&read).await.unwrap();
    let event = NewEvent::acknowledgement(read.data_hash, &read.statement);
    let event = event.into_event(reader.signer.address(), now_ms());
    let (index, trace) = (0, None);
    let entry = LogEntry { index, event, trace };
    reader.catalog.append(&[entry], &[]).await.unwrap();
    let owner = network.join(Arc::new(MemoryObjectStore::new()));
    let inbox = Arc::new(MemoryInbox::default());
    owner.take_notices(read.statement.object.owner, inbox.clone());
    for _ in 0..2 {
        let running = reader.run().await;
        knows(&inbox, 1).await;
        running.stop().await;
    }
    assert_eq!(inbox.taken(), [Letter::Acknowledgement(read.statement)]);
}
