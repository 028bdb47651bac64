//! Recipients that cannot be told at once of what was shared with them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    B256,
    bus::EventBus,
    clock::now_ms,
    config::Acknowledge,
    envelope::{ObjectId, SignedEnvelope},
    hash::DataHash,
    letter::Letter,
    news::News,
    ports::{
        EventJournal, KeyValueStore, NetworkStatus, NoticeSink, ObjectStore, ObjectStoreLayer, Signer,
        StoreError, WriteBatch,
    },
};
use dm_services::{NoticePorts, Notices, inbox::Arrivals};
use dm_testing::{key_value::MemoryKeyValueStore, network::MemoryInbox, signer::TestSigner};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{TestNode, World, data, deliveries_of, eventually, terms};

const HOUR: u64 = 3_600_000;

async fn run_notices(owner: &TestNode, outbox: &MemoryKeyValueStore, bus: &EventBus) -> JoinHandle<()> {
    run_notices_of(owner, owner.objects.clone(), outbox, bus).await
}

async fn run_notices_of(
    owner: &TestNode,
    objects: Arc<dyn ObjectStore>,
    outbox: &MemoryKeyValueStore,
    bus: &EventBus,
) -> JoinHandle<()> {
    let ports = NoticePorts {
        network: owner.network.clone(),
        journal: owner.catalog.clone(),
        objects,
        outbox: Arc::new(outbox.clone()),
        shares: owner.catalog.clone(),
        sent: owner.catalog.clone(),
        signer: owner.ports.signer.clone(),
        contacts: owner.catalog.clone(),
        arrivals: Arrivals::new(owner.catalog.clone()),
        deliveries: deliveries_of(owner, Acknowledge::OnRequest),
        bus: bus.clone(),
        late_news: owner.ports.late_news.clone(),
    };
    let notices = Notices::new(ports);
    tokio::spawn(async move { notices.run(CancellationToken::new()).await.unwrap() })
}

/// Hands over each envelope a good while after it was read.
struct Held {
    objects: Arc<dyn ObjectStore>,
    /// Envelopes that were read.
    read: Semaphore,
    /// Envelopes that may be handed over.
    let_go: Semaphore,
}

#[async_trait]
impl ObjectStoreLayer for Held {
    fn inner(&self) -> &dyn ObjectStore {
        &*self.objects
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        let envelope = self.objects.envelope(id).await;
        self.read.add_permits(1);
        self.let_go.acquire().await.unwrap().forget();
        envelope
    }
}

/// Takes nothing.
struct Deaf;

#[async_trait]
impl NoticeSink for Deaf {
    async fn arrived(&self, letters: Vec<Letter>) -> Vec<bool> {
        vec![false; letters.len()]
    }
}

/// When the only letter of the outbox is due, and its entry.
async fn letter(outbox: &MemoryKeyValueStore) -> Option<(u64, (Bytes, Bytes))> {
    let mut letters = outbox.scan(b"d", None, 9).await.unwrap();
    assert!(letters.len() <= 1);
    let entry = letters.pop()?;
    Some((due_at(&entry.0), entry))
}

/// When the letter with this key is due.
fn due_at(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[1..9].try_into().unwrap())
}

/// Waits until an attempt to tell has failed, and has the next one made in more than an hour, as
/// after many attempts.
async fn fails_for_hours(owner: &TestNode, outbox: &MemoryKeyValueStore) {
    let running = run_notices(owner, outbox, &EventBus::new()).await;
    let now = now_ms();
    let (at, (key, value)) = eventually("an attempt has failed", async || {
        letter(outbox).await.filter(|(at, _)| *at > now)
    })
    .await;
    running.abort();
    let mut late = key.to_vec();
    late[1..9].copy_from_slice(&(at + HOUR).to_be_bytes());
    let mut batch = WriteBatch::new();
    batch.delete(key);
    batch.put(late, value);
    outbox.commit(batch).await.unwrap();
}

/// Waits until the recipient is told of the object, and of nothing twice.
async fn is_told(inbox: &MemoryInbox, shared: DataHash, outbox: &MemoryKeyValueStore) {
    eventually("the recipient is told", async || {
        let told = inbox.taken().iter().map(Letter::object).collect::<Vec<_>>();
        (told.first()?.locator == shared.locator()).then_some(())
    })
    .await;
    eventually("nothing is left to tell", async || {
        letter(outbox).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_recipient_that_becomes_known_after_hours_is_told_at_once() {
    let world = World::new();
    let owner = world.node(1).await;
    // Letters are prepared where somebody may take them.
    let _other = world.node(3).await;
    let later = TestSigner::new(2).address();
    let shared = owner.data.share_bytes(data(100), terms(later)).await.unwrap();
    let outbox = MemoryKeyValueStore::new();
    fails_for_hours(&owner, &outbox).await;

    let running = run_notices(&owner, &outbox, &EventBus::new()).await;
    let reader = world.node(2).await;
    let inbox = Arc::new(MemoryInbox::default());
    reader.network.take_notices(later, inbox.clone());
    owner.data.catch_up().await;
    is_told(&inbox, shared.data_hash, &outbox).await;
    running.abort();
}

#[tokio::test]
async fn what_nobody_took_for_hours_is_told_when_the_network_is_back() {
    let world = World::new();
    let owner = world.node(1).await;
    let reader = world.node(2).await;
    let terms = terms(reader.address());
    let shared = owner.data.share_bytes(data(100), terms).await.unwrap();
    let outbox = MemoryKeyValueStore::new();
    reader.network.take_notices(reader.address(), Arc::new(Deaf));
    fails_for_hours(&owner, &outbox).await;

    let bus = EventBus::new();
    let running = run_notices(&owner, &outbox, &bus).await;
    let inbox = Arc::new(MemoryInbox::default());
    reader.network.take_notices(reader.address(), inbox.clone());
    bus.publish(News::PeerConnected {
        peer_id: reader.network.local_peer_id(),
    });
    is_told(&inbox, shared.data_hash, &outbox).await;
    running.abort();
}

#[tokio::test]
async fn a_letter_that_is_under_way_when_its_recipient_gets_a_grant_does_not_wait_for_its_pause() {
    let world = World::new();
    let owner = world.node(1).await;
    let _other = world.node(3).await;
    let later = TestSigner::new(2).address();
    let shared = owner.data.share_bytes(data(100), terms(later)).await.unwrap();
    let outbox = MemoryKeyValueStore::new();
    let objects = Arc::new(Held {
        objects: owner.objects.clone(),
        read: Semaphore::new(0),
        let_go: Semaphore::new(0),
    });
    let running = run_notices_of(&owner, objects.clone(), &outbox, &EventBus::new()).await;
    // The letter has seen that there is no grant.
    objects.read.acquire().await.unwrap().forget();

    let reader = world.node(2).await;
    let inbox = Arc::new(MemoryInbox::default());
    reader.network.take_notices(later, inbox.clone());
    owner.data.catch_up().await;
    // The notices hear of the grant before the letter gets any further.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    objects.let_go.add_permits(1000);
    eventually("the recipient is told", async || {
        let told = inbox.taken().iter().map(Letter::object).collect::<Vec<_>>();
        (told.first()?.locator == shared.data_hash.locator()).then_some(())
    })
    .await;
    running.abort();
}

/// Counts the envelopes that are read.
struct Counted {
    objects: Arc<dyn ObjectStore>,
    read: AtomicUsize,
}

#[async_trait]
impl ObjectStoreLayer for Counted {
    fn inner(&self) -> &dyn ObjectStore {
        &*self.objects
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.objects.envelope(id).await
    }
}

#[tokio::test]
async fn a_letter_about_a_receipt_is_looked_at_once_the_envelope_has_it() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let inbox = Arc::new(MemoryInbox::default());
    reader.network.take_notices(reader.address(), inbox.clone());
    let objects = Arc::new(Counted {
        objects: owner.objects.clone(),
        read: AtomicUsize::new(0),
    });
    let outbox = MemoryKeyValueStore::new();
    let running = run_notices_of(&owner, objects.clone(), &outbox, &EventBus::new()).await;
    let terms = terms(reader.address());
    let shared = owner.data.share_bytes(data(100), terms).await.unwrap();
    is_known_to(&inbox, 1).await;
    let anchored = News::ShareAnchored {
        data_hash: shared.data_hash,
        recipient: reader.address(),
        tx_hash: B256::ZERO,
        block: 1,
        anchored_at: 1,
    };
    owner.catalog.append_news(vec![anchored]).await.unwrap();
    // By itself, it would be looked at after seconds.
    eventually("the letter about the receipt waits", async || {
        let letters = outbox.scan(b"d", None, 9).await.unwrap();
        let at = letters.iter().map(|(key, _)| due_at(key)).collect::<Vec<_>>();
        (at.len() == 1 && at[0] > now_ms() + 1_000).then_some(())
    })
    .await;
    owner.spread();
    is_known_to(&inbox, 2).await;
    is_told(&inbox, shared.data_hash, &outbox).await;
    let letters = inbox.taken();
    assert!(letters[0].sequence() < letters[1].sequence());
    assert_eq!(objects.read.load(Ordering::Relaxed), 2);
    running.abort();
}

/// Waits until the recipient has taken so many letters.
async fn is_known_to(inbox: &MemoryInbox, letters: usize) {
    eventually("the recipient has the letters", async || {
        (inbox.taken().len() == letters).then_some(())
    })
    .await;
}
