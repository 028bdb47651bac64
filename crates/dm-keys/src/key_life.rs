//! The whole life of a node's keys: shares, grants, rotations, content keys wrapped again in
//! pieces, versions destroyed, passwords changed, data erased, and the process killed at
//! any step of a write and started again from its files.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use dm_core::{
    bus::EventBus,
    config::UploadsConfig,
    hash::{DataHash, Locator},
    ports::{CatalogError, KeyUses, ReadableObjects, Rewrapped},
    secret::SecretString,
    share::{ReadableObject, ShareTerms},
};
use dm_services::{
    DataConfig, DataManager, DataPorts, KeyRotation, KeyRotationConfig, KeyRotationPorts, LateNews,
    ServiceError,
};
use dm_testing::{
    catalog::MemoryCatalog,
    compliance::{MemoryComplianceLog, TestLedger},
    network::{MemoryNetwork, MemoryNode},
    objects::MemoryObjectStore,
    waiting::eventually,
};
use futures::TryStreamExt;
use proptest::{collection::vec, option, prelude::*};
use tempfile::TempDir;

use crate::{KeyError, NodeKeys, SecretDirectory, master_key::Cost, private_file::interruption};

/// What happens to a node; where there is a number of steps, it is killed after so many steps
/// of its writes.
#[derive(Debug, Clone)]
enum Event {
    /// It shares data with its partner.
    Share(u8),
    /// Its partner shares data with it.
    Receive(u8),
    /// It reads what it was granted.
    Read(u8),
    Erase(u8),
    Rotate(Option<u32>),
    RotateGrantKey(Option<u32>),
    /// Wraps some content keys again, and stops.
    WrapSome(usize),
    Destroy(u32, Option<u32>),
    ChangePassword(u8, Option<u32>),
    Kill,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let kill = || option::weighted(0.3, 0..=2 * interruption::STEPS);
    let event = prop_oneof![
        4 => (0..8u8).prop_map(Event::Share),
        2 => (0..8u8).prop_map(Event::Receive),
        1 => (0..8u8).prop_map(Event::Read),
        2 => (0..8u8).prop_map(Event::Erase),
        3 => kill().prop_map(Event::Rotate),
        2 => kill().prop_map(Event::RotateGrantKey),
        3 => (1..4usize).prop_map(Event::WrapSome),
        4 => (1..12u32, kill()).prop_map(|(version, kill)| Event::Destroy(version, kill)),
        2 => (0..4u8, kill()).prop_map(|(password, kill)| Event::ChangePassword(password, kill)),
        1 => Just(Event::Kill),
    ];
    vec(event, 1..40)
}

/// A catalog that is read in small pages and lets go after some of them.
struct Pages {
    catalog: Arc<MemoryCatalog>,
    left: AtomicUsize,
}

#[async_trait]
impl ReadableObjects for Pages {
    async fn put_readable(&self, object: &ReadableObject) -> Result<(), CatalogError> {
        self.catalog.put_readable(object).await
    }

    async fn readable(&self, data_hash: &DataHash) -> Result<Option<ReadableObject>, CatalogError> {
        self.catalog.readable(data_hash).await
    }

    async fn readable_at(&self, locator: &Locator) -> Result<Option<ReadableObject>, CatalogError> {
        self.catalog.readable_at(locator).await
    }

    async fn wrapped_before(
        &self,
        version: u32,
        after: Option<DataHash>,
        _: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError> {
        if self
            .left
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .is_err()
        {
            return Err(CatalogError::Conflict("stopped".to_owned()));
        }
        self.catalog.wrapped_before(version, after, 2).await
    }

    async fn rewrap(&self, keys: Vec<Rewrapped>) -> Result<(), CatalogError> {
        self.catalog.rewrap(keys).await
    }

    async fn remove_readable(&self, data_hash: &DataHash) -> Result<bool, CatalogError> {
        self.catalog.remove_readable(data_hash).await
    }
}

/// What of a node outlives its process.
struct Kept {
    dir: TempDir,
    password: String,
    catalog: Arc<MemoryCatalog>,
    objects: Arc<MemoryObjectStore>,
    log: Arc<MemoryComplianceLog>,
    network: Arc<MemoryNode>,
}

struct Node {
    kept: Kept,
    keys: NodeKeys,
    data: DataManager,
}

fn secret(text: &str) -> SecretString {
    SecretString::new(text)
}

impl Kept {
    fn open(&self, password: &str) -> Result<NodeKeys, KeyError> {
        NodeKeys::open_with(
            Arc::new(SecretDirectory::at(self.dir.path())),
            Some(&secret(password)),
            None,
            Cost::CHEAP,
        )
    }

    fn data(&self, keys: &NodeKeys) -> DataManager {
        let ports = DataPorts {
            objects: self.objects.clone(),
            unfinished: self.objects.clone(),
            catalog: self.catalog.clone(),
            sealer: keys.sealer(),
            key_ring: keys.key_ring(),
            grants: keys.grants(),
            signer: keys.signer(),
            operators: Some(Arc::new(keys.clone())),
            network: self.network.clone(),
            log: self.log.clone(),
            payments: None,
            authorization: None,
            attestation: None,
            instances: None,
            deliveries: None,
            late_news: LateNews::default(),
            plugins: None,
            bus: EventBus::new(),
        };
        let settings = DataConfig {
            replication_factor: 2,
            anchor_patience: Duration::from_secs(5),
            retry_interval: Duration::from_secs(15),
            uploads: UploadsConfig::default(),
        };
        DataManager::new(&ports, settings).unwrap()
    }
}

impl Node {
    async fn new(network: &MemoryNetwork, ledger: &TestLedger) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let password = "password".to_owned();
        let keys = NodeKeys::create_with(
            Arc::new(SecretDirectory::at(dir.path())),
            Some(&secret(&password)),
            None,
            Cost::CHEAP,
        )
        .unwrap();
        let catalog = Arc::new(MemoryCatalog::new());
        let log = MemoryComplianceLog::new(keys.signer().address(), ledger).kept_in(catalog.clone());
        let objects = Arc::new(MemoryObjectStore::new());
        let kept = Kept {
            dir,
            password,
            catalog,
            log: Arc::new(log),
            network: network.join(objects.clone()),
            objects,
        };
        Self::start(kept, keys).await
    }

    async fn start(kept: Kept, keys: NodeKeys) -> Self {
        let data = kept.data(&keys);
        data.announce().await.unwrap();
        Self { kept, keys, data }
    }

    fn rotation(&self, pages: usize) -> KeyRotation {
        self.rotation_with(pages, KeyRotationConfig::default())
    }

    fn rotation_with(&self, pages: usize, settings: KeyRotationConfig) -> KeyRotation {
        let ports = KeyRotationPorts {
            key_ring: self.keys.key_ring(),
            readable: Arc::new(Pages {
                catalog: self.kept.catalog.clone(),
                left: pages.into(),
            }),
            uses: self.kept.catalog.clone(),
            grants: self.keys.grants(),
            password: Arc::new(self.keys.clone()),
            changes: self.kept.catalog.clone(),
            log: self.kept.log.clone(),
        };
        KeyRotation::new(ports, settings)
    }

    async fn share(&self, data: String, with: &Self) -> DataHash {
        let terms = ShareTerms::with(with.data.address());
        self.data.share_bytes(data.into(), terms).await.unwrap().data_hash
    }

    async fn read(&self, hash: &DataHash) -> Result<Vec<u8>, ServiceError> {
        let object = self.data.open(hash).await?;
        let size = object.size();
        let pieces: Vec<bytes::Bytes> = object.read(0..size).try_collect().await?;
        Ok(pieces.concat())
    }

    /// The process ends and is started again with whichever password opens the files.
    async fn killed(self, other_password: Option<String>) -> Self {
        let Self { mut kept, keys, data } = self;
        drop((keys, data));
        interruption::end(kept.dir.path());
        let (password, keys) = [Some(kept.password.clone()), other_password]
            .into_iter()
            .flatten()
            .find_map(|password| Some((password.clone(), kept.open(&password).ok()?)))
            .expect("one of both passwords opens the keys");
        kept.password = password;
        Self::start(kept, keys).await
    }
}

/// A node, its partner, and what the node should be able to read.
struct Life {
    node: Node,
    partner: Node,
    own: BTreeMap<u8, DataHash>,
    received: BTreeMap<u8, DataHash>,
    erased: BTreeSet<DataHash>,
}

fn own_data(n: u8) -> String {
    format!("shared by the node: {n}")
}

fn received_data(n: u8) -> String {
    format!("shared with the node: {n}")
}

impl Life {
    async fn live(mut self, event: Event) -> Self {
        match event {
            Event::Share(n) => {
                let hash = self.node.share(own_data(n), &self.partner).await;
                self.erased.remove(&hash);
                self.own.insert(n, hash);
            }
            Event::Receive(n) => {
                let hash = self.partner.share(received_data(n), &self.node).await;
                self.received.insert(n, hash);
            }
            Event::Read(n) => {
                if let Some(hash) = self.received.get(&n) {
                    assert_eq!(self.node.read(hash).await.unwrap(), received_data(n).as_bytes());
                }
            }
            Event::Erase(n) => {
                if let Some(hash) = self.own.remove(&n) {
                    self.node.data.erase(&hash).await.unwrap();
                    self.erased.insert(hash);
                }
            }
            Event::WrapSome(pages) => {
                // It ends where the pages do.
                let _ = self.node.rotation(pages).wrap_all_again().await;
            }
            Event::Rotate(kill) => {
                self.begin(kill);
                let done = self.node.rotation(0).rotate().await;
                self = self.end(kill, done.is_ok(), None).await;
            }
            Event::RotateGrantKey(kill) => {
                self.begin(kill);
                let done = self.node.rotation(0).rotate_grant_key().await;
                self = self.end(kill, done.is_ok(), None).await;
            }
            Event::Destroy(version, kill) => self = self.destroy(version, kill).await,
            Event::ChangePassword(n, kill) => {
                let new = format!("password {n}");
                if new != self.node.kept.password {
                    self.begin(kill);
                    let old = secret(&self.node.kept.password);
                    let done = self.node.rotation(0).change_password(old, secret(&new)).await;
                    if kill.is_none() {
                        self.node.kept.password.clone_from(&new);
                    }
                    self = self.end(kill, done.is_ok(), Some(new)).await;
                }
            }
            Event::Kill => self.node = self.node.killed(None).await,
        }
        self
    }

    async fn destroy(self, version: u32, kill: Option<u32>) -> Self {
        let held: Vec<u32> = self
            .node
            .keys
            .key_ring()
            .versions()
            .iter()
            .map(|held| held.version)
            .collect();
        let is_needed = self
            .node
            .kept
            .catalog
            .uses()
            .await
            .unwrap()
            .contains_key(&version);
        let may_end = held.contains(&version) && held.last() != Some(&version) && !is_needed;
        self.begin(kill);
        let done = self.node.rotation(0).destroy(version).await;
        assert!(may_end || done.is_err(), "version {version} is needed");
        let life = self.end(kill, done.is_ok() || !may_end, None).await;
        let is_held = life
            .node
            .keys
            .manager()
            .read_keys(|keys| keys.key_encryption_key(version).is_some());
        assert!(!(done.is_ok() && is_held), "version {version} is destroyed");
        life
    }

    fn begin(&self, kill: Option<u32>) {
        if let Some(steps) = kill {
            interruption::after(self.node.kept.dir.path(), steps);
        }
    }

    async fn end(mut self, kill: Option<u32>, is_done: bool, other_password: Option<String>) -> Self {
        match kill {
            None => assert!(is_done, "nothing was in the way"),
            Some(_) => self.node = self.node.killed(other_password).await,
        }
        self
    }

    async fn check(&self) {
        for (n, hash) in &self.own {
            assert_eq!(self.node.read(hash).await.unwrap(), own_data(*n).as_bytes());
        }
        for hash in &self.erased {
            let read = self.node.read(hash).await;
            assert!(matches!(read, Err(ServiceError::NotFound)), "{read:?}");
            assert_eq!(self.node.kept.catalog.readable(hash).await.unwrap(), None);
        }
    }

    async fn check_all(self) {
        self.check().await;
        let life = self.live(Event::Kill).await;
        life.check().await;
        for (n, hash) in &life.received {
            assert_eq!(life.node.read(hash).await.unwrap(), received_data(*n).as_bytes());
        }
    }
}

async fn live(events: Vec<Event>) {
    let (network, ledger) = (MemoryNetwork::new(), TestLedger::new());
    let mut life = Life {
        node: Node::new(&network, &ledger).await,
        partner: Node::new(&network, &ledger).await,
        own: BTreeMap::new(),
        received: BTreeMap::new(),
        erased: BTreeSet::new(),
    };
    for event in events {
        life = life.live(event).await;
        life.check().await;
    }
    life.check_all().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn through_a_whole_life_what_should_be_readable_is_and_what_was_erased_is_not(events in events()) {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
            .block_on(live(events));
    }
}

#[tokio::test]
async fn the_age_of_a_version_counts_through_restarts() {
    let (network, ledger) = (MemoryNetwork::new(), TestLedger::new());
    let node = Node::new(&network, &ledger).await;
    let made = node.keys.key_ring().versions();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let node = node.killed(None).await;
    assert_eq!(node.keys.key_ring().versions(), made);
    let settings = KeyRotationConfig {
        max_age: Some(Duration::from_millis(20)),
        ..KeyRotationConfig::default()
    };
    let rotation = node.rotation_with(usize::MAX, settings);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let end = shutdown.clone();
    let running = tokio::spawn(async move { rotation.run(end).await });
    eventually("the version is replaced", async || {
        (node.keys.key_ring().versions().len() > made.len()).then_some(())
    })
    .await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
