//! What comes from others: plugins have a say, and what is wanted at once is fetched.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dm_core::{
    config::{Accept, Acknowledge, FetchConfig},
    descriptor::{Description, LabelPairs, Labels},
    envelope::ObjectId,
    hash::DataHash,
    inbox::ItemState,
    plugin::{Hook, Piece, PluginFault, PluginInfo, ReceiveStage, ReceivedView, Verdict},
    ports::{
        InboxCatalog, Kept, KeptLimits, KeyValueStore, Plugin, PluginContext, ReadableObjects, StorageQuota,
    },
    tasks::Supervisor,
};
use dm_services::{
    DataManager, DataPorts, PluginConfig, PluginManager, RegisteredPlugins, ServiceError,
    inbox::{
        Arrivals, FetchPolicy, FetchPorts, Fetches, Inbox, InboxEntry, InboxFilter, InboxPorts, InboxSettings,
    },
};
use dm_testing::{catalog::MemoryCatalog, key_value::MemoryKeyValueStore};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use crate::support::{TestNode, World, data, deliveries_of, eventually, settings, terms};

/// A plugin that refuses what it was told to, and remembers what it was asked.
struct Doorkeeper {
    hooks: Vec<Hook>,
    refuses: Mutex<Option<ReceiveStage>>,
    fails: bool,
    asked: Mutex<Vec<ReceivedView>>,
}

impl Doorkeeper {
    fn new(hooks: &[Hook]) -> Arc<Self> {
        Arc::new(Self {
            hooks: hooks.to_vec(),
            refuses: Mutex::default(),
            fails: false,
            asked: Mutex::default(),
        })
    }

    fn refuses(&self, stage: Option<ReceiveStage>) {
        *self.refuses.lock().unwrap() = stage;
    }

    fn asked(&self) -> Vec<ReceivedView> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Plugin for Doorkeeper {
    fn info(&self) -> PluginInfo {
        PluginInfo::new("doorkeeper", "1", &self.hooks)
    }

    async fn initialize(&self, _context: PluginContext) -> Result<(), PluginFault> {
        match self.fails {
            true => Err(PluginFault::new("not today")),
            false => Ok(()),
        }
    }

    async fn shutdown(&self) {}

    async fn examine(&self, piece: &Piece) -> Result<Verdict, PluginFault> {
        let is_bad = piece.bytes.windows(3).any(|part| part == b"bad");
        Ok(if is_bad { refusal() } else { Verdict::Allow })
    }

    async fn before_receive(&self, received: &ReceivedView) -> Result<Verdict, PluginFault> {
        self.asked.lock().unwrap().push(received.clone());
        let is_refused = *self.refuses.lock().unwrap() == Some(received.stage);
        Ok(if is_refused { refusal() } else { Verdict::Allow })
    }
}

fn refusal() -> Verdict {
    Verdict::Refuse {
        reason: "unwanted".to_owned(),
    }
}

/// A node with a plugin and an inbox.
struct Reader {
    node: TestNode,
    data: DataManager,
    inbox: Inbox,
    /// Where it stands what is still to be fetched.
    queue: Arc<dyn KeyValueStore>,
    _tasks: Supervisor,
}

/// How a reader is set up.
#[derive(Default)]
struct Setup {
    plugin: Option<Arc<Doorkeeper>>,
    is_required: bool,
    examine_received: bool,
    fetch: FetchConfig,
    quota: Option<Arc<dyn StorageQuota>>,
    queue: Option<Arc<dyn KeyValueStore>>,
    is_idle: bool,
}

impl Setup {
    fn with(plugin: &Arc<Doorkeeper>) -> Self {
        Self {
            plugin: Some(plugin.clone()),
            ..Self::default()
        }
    }

    fn fetching(from: &[&str]) -> Self {
        Self {
            fetch: FetchConfig {
                from: from.iter().map(ToString::to_string).collect(),
                ..FetchConfig::default()
            },
            ..Self::default()
        }
    }

    async fn on(self, node: TestNode) -> Reader {
        let tasks = Supervisor::new();
        let config = PluginConfig {
            node_id: "test".to_owned(),
            address: node.address(),
            required: self
                .is_required
                .then(|| "doorkeeper".to_owned())
                .into_iter()
                .collect(),
            examine_received: self.examine_received,
        };
        let store = Arc::new(MemoryKeyValueStore::new());
        let plugins = PluginManager::open(config, store, node.ports.bus.clone())
            .await
            .unwrap();
        let source: RegisteredPlugins = self
            .plugin
            .into_iter()
            .map(|plugin| plugin as Arc<dyn Plugin>)
            .collect();
        plugins.start(vec![Arc::new(source)], &tasks).await;
        let ports = DataPorts {
            plugins: Some(plugins.clone()),
            ..node.ports.clone()
        };
        let data = DataManager::new(&ports, settings()).unwrap();
        let queue = self.queue.unwrap_or_else(|| Arc::new(MemoryKeyValueStore::new()));
        let fetches = FetchPorts {
            catalog: ports.catalog.clone(),
            objects: ports.objects.clone(),
            quota: self.quota,
            queue: queue.clone(),
            sealer: ports.sealer.clone(),
            signer: ports.signer.clone(),
            acquaintance: None,
            plugins: Some(plugins.clone()),
            data: data.clone(),
        };
        let fetches = Fetches::new(fetches, FetchPolicy::new(&self.fetch).unwrap()).unwrap();
        let inbox = InboxPorts {
            objects: ports.objects.clone(),
            catalog: ports.catalog.clone(),
            network: ports.network.clone(),
            grants: ports.grants.clone(),
            sealer: ports.sealer.clone(),
            signer: ports.signer.clone(),
            log: ports.log.clone(),
            acquaintance: None,
            arrivals: Arrivals::new(ports.catalog.clone(), node.address()),
            deliveries: deliveries_of(&node, Acknowledge::OnRequest),
            plugins: Some(plugins),
            fetches: Some(fetches.clone()),
            data: data.clone(),
        };
        let settings = InboxSettings {
            accept: Accept::Anyone,
            retry_interval: settings().retry_interval,
        };
        let inbox = Inbox::new(inbox, settings).unwrap();
        let listing = inbox.clone();
        tokio::spawn(async move { listing.run(CancellationToken::new()).await });
        if !self.is_idle {
            tokio::spawn(async move { fetches.run(CancellationToken::new()).await });
        }
        Reader {
            node,
            data,
            inbox,
            queue,
            _tasks: tasks,
        }
    }
}

impl Reader {
    async fn learns_of(&self, object: ObjectId) {
        self.node.catalog.note_arrivals(&[object]).await.unwrap();
        eventually("what has come is looked at", async || {
            let waiting = self.node.catalog.arrivals(None, 1).await.unwrap();
            waiting.is_empty().then_some(())
        })
        .await;
    }

    async fn items(&self) -> Vec<InboxEntry> {
        let page = self.inbox.page(&InboxFilter::default(), None, 100).await;
        page.unwrap().entries
    }

    async fn read(&self, hash: &DataHash) -> Result<Vec<u8>, ServiceError> {
        let object = self.data.open(hash).await?;
        let size = object.size();
        let pieces: Vec<bytes::Bytes> = object.read(0..size).try_collect().await?;
        Ok(pieces.concat())
    }

    async fn has(&self, hash: &DataHash) -> bool {
        self.node.catalog.readable(hash).await.unwrap().is_some()
    }

    async fn fetches(&self, hash: &DataHash) {
        eventually("it is fetched by itself", async || {
            let items = self.inbox.entries_of(hash).await.unwrap();
            (items[0].item.state == ItemState::Fetched).then_some(())
        })
        .await;
        assert!(self.has(hash).await);
    }

    /// What is still to be fetched.
    async fn waiting(&self) -> usize {
        self.queue.scan(b"d", None, 100).await.unwrap().len()
    }
}

async fn shared(owner: &TestNode, reader: &Reader, content: &[u8], labels: &[(&str, &str)]) -> ObjectId {
    let description = Description {
        name: Some("report.pdf".parse().unwrap()),
        labels: Labels::try_from(labels.iter().copied().collect::<LabelPairs>()).unwrap(),
        ..Description::default()
    };
    let mut terms = terms(reader.node.address());
    terms.description = Some(Box::new(description));
    let content = bytes::Bytes::copy_from_slice(content);
    let outcome = owner.data.share_bytes(content, terms).await.unwrap();
    let object = ObjectId {
        locator: outcome.data_hash.locator(),
        owner: owner.address(),
    };
    reader.learns_of(object).await;
    object
}

#[tokio::test]
async fn what_a_plugin_refuses_is_not_listed() {
    let world = World::new();
    let (owner, plugin) = (world.node(1).await, Doorkeeper::new(&[Hook::Receive]));
    let reader = Setup::with(&plugin).on(world.node(2).await).await;
    plugin.refuses(Some(ReceiveStage::Listing));
    let object = shared(&owner, &reader, b"content", &[("stage", "final")]).await;
    assert!(reader.items().await.is_empty());
    let asked = plugin.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].owner, asked[0].size), (owner.address(), 7));
    let said = &asked[0].description;
    assert_eq!(said.name.as_ref().unwrap().as_str(), "report.pdf");
    assert_eq!(said.labels.iter().next(), Some(("stage", "final")));

    plugin.refuses(None);
    reader.learns_of(object).await;
    assert_eq!(reader.items().await.len(), 1);
    // What it has allowed is not asked again, unless its sender says something else of it.
    let asked = plugin.asked().len();
    reader.learns_of(object).await;
    assert_eq!(plugin.asked().len(), asked);
}

#[tokio::test]
async fn what_a_sender_says_later_is_refused_as_well() {
    let world = World::new();
    let (owner, plugin) = (world.node(1).await, Doorkeeper::new(&[Hook::Receive]));
    let reader = Setup::with(&plugin).on(world.node(2).await).await;
    shared(&owner, &reader, b"content", &[("stage", "draft")]).await;
    plugin.refuses(Some(ReceiveStage::Listing));
    shared(&owner, &reader, b"content", &[("stage", "final")]).await;
    let items = reader.items().await;
    let said = &items[0].descriptor.description;
    assert_eq!(said.labels.iter().next(), Some(("stage", "draft")));
}

#[tokio::test]
async fn what_a_plugin_refuses_to_fetch_is_listed_and_not_kept() {
    let world = World::new();
    let (owner, plugin) = (world.node(1).await, Doorkeeper::new(&[Hook::Receive]));
    let setup = Setup {
        plugin: Some(plugin.clone()),
        ..Setup::fetching(&["anyone"])
    };
    let reader = setup.on(world.node(2).await).await;
    plugin.refuses(Some(ReceiveStage::Fetch));
    shared(&owner, &reader, b"content", &[]).await;
    let hash = DataHash::of(b"content");
    eventually("the fetch is given up", async || {
        (reader.waiting().await == 0).then_some(())
    })
    .await;
    assert_eq!(reader.items().await[0].item.state, ItemState::New);
    let refused = reader.read(&hash).await.unwrap_err();
    assert_eq!(refused.to_string(), "plugin doorkeeper refuses this: unwanted");
    assert!(!reader.has(&hash).await);

    plugin.refuses(None);
    assert_eq!(reader.read(&hash).await.unwrap(), b"content");
    let asked = plugin.asked().len();
    reader.read(&hash).await.unwrap();
    assert_eq!(plugin.asked().len(), asked, "it was fetched already");
}

#[tokio::test]
async fn a_required_plugin_that_does_not_run_keeps_everything_out() {
    let world = World::new();
    let owner = world.node(1).await;
    let plugin = Arc::new(Doorkeeper {
        fails: true,
        ..Arc::into_inner(Doorkeeper::new(&[Hook::Receive])).unwrap()
    });
    let setup = Setup {
        is_required: true,
        ..Setup::with(&plugin)
    };
    let reader = setup.on(world.node(2).await).await;
    let content = bytes::Bytes::from_static(b"content");
    let outcome = owner
        .data
        .share_bytes(content, terms(reader.node.address()))
        .await
        .unwrap();
    let object = ObjectId {
        locator: outcome.data_hash.locator(),
        owner: owner.address(),
    };
    let inbox_is_at_it = reader.node.catalog.note_arrivals(&[object]);
    inbox_is_at_it.await.unwrap();
    tokio::time::sleep(3 * settings().retry_interval).await;
    assert!(reader.items().await.is_empty());
    // It is not forgotten either.
    assert_eq!(reader.node.catalog.arrivals(None, 9).await.unwrap(), [object]);
    let away = reader.read(&outcome.data_hash).await.unwrap_err();
    assert!(matches!(away, ServiceError::Unavailable(_)), "{away}");
}

#[tokio::test]
async fn the_data_of_others_is_examined_where_the_operator_wants_that() {
    let world = World::new();
    let owner = world.node(1).await;
    for examine_received in [false, true] {
        let setup = Setup {
            examine_received,
            ..Setup::with(&Doorkeeper::new(&[Hook::Content]))
        };
        let reader = setup.on(world.node(2 + u8::from(examine_received)).await).await;
        for (content, is_bad) in [(&b"something bad"[..], true), (b"something good", false)] {
            shared(&owner, &reader, content, &[]).await;
            let hash = DataHash::of(content);
            let read = reader.read(&hash).await;
            let is_refused = is_bad && examine_received;
            assert_eq!(read.is_err(), is_refused, "{read:?}");
            assert_eq!(reader.has(&hash).await, !is_refused);
        }
    }
}

#[tokio::test]
async fn a_forbidden_word_is_found_where_two_chunks_of_received_data_meet() {
    let world = World::new();
    let owner = world.node(1).await;
    let setup = Setup {
        examine_received: true,
        ..Setup::with(&Doorkeeper::new(&[Hook::Content]))
    };
    let reader = setup.on(world.node(2).await).await;
    let chunk = dm_core::envelope::CHUNK_SIZE as usize;
    let mut content = data(2 * chunk).to_vec();
    content[chunk - 1..chunk + 2].copy_from_slice(b"bad");
    shared(&owner, &reader, &content, &[]).await;
    let hash = DataHash::of(&content);
    let refused = reader.read(&hash).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Refused { .. }), "{refused}");
    assert!(!reader.has(&hash).await);
}

#[tokio::test]
async fn what_is_wanted_at_once_is_fetched_by_sender_size_and_label() {
    let world = World::new();
    let (owner, stranger) = (world.node(1).await, world.node(2).await);
    let mut setup = Setup::fetching(&[&owner.address().to_string()]);
    setup.fetch.max_bytes = 100;
    setup.fetch.labels = vec!["kind=report".to_owned(), "kind=letter".to_owned()];
    let reader = setup.on(world.node(3).await).await;
    let report = [("kind", "report")];
    shared(&stranger, &reader, b"by a stranger", &report).await;
    shared(&owner, &reader, &[1; 101], &report).await;
    shared(&owner, &reader, b"without the label", &[("kind", "other")]).await;
    shared(&owner, &reader, &[2; 100], &[("kind", "letter"), ("a", "b")]).await;
    reader.fetches(&DataHash::of(&[2; 100])).await;
    shared(&owner, &reader, b"another report", &report).await;
    reader.fetches(&DataHash::of(b"another report")).await;
    for content in [&b"by a stranger"[..], &[1; 101], b"without the label"] {
        assert!(!reader.has(&DataHash::of(content)).await);
    }
    assert_eq!(reader.waiting().await, 0);
}

#[tokio::test]
async fn nothing_is_fetched_by_itself_unless_the_operator_says_so() {
    let world = World::new();
    let owner = world.node(1).await;
    let reader = Setup::default().on(world.node(2).await).await;
    shared(&owner, &reader, b"content", &[]).await;
    assert_eq!(reader.items().await[0].item.state, ItemState::New);
    assert_eq!(reader.waiting().await, 0);
}

#[tokio::test]
async fn what_is_still_to_be_fetched_outlives_a_restart() {
    let world = World::new();
    let owner = world.node(1).await;
    let idle = Setup {
        is_idle: true,
        ..Setup::fetching(&["anyone"])
    };
    let reader = idle.on(world.node(2).await).await;
    shared(&owner, &reader, b"content", &[]).await;
    assert_eq!(reader.waiting().await, 1);
    let again = Setup {
        queue: Some(reader.queue.clone()),
        ..Setup::fetching(&["anyone"])
    };
    let reader = again.on(reader.node).await;
    reader.fetches(&DataHash::of(b"content")).await;
    eventually("nothing is left to do", async || {
        (reader.waiting().await == 0).then_some(())
    })
    .await;
}

/// A store without any room.
struct NoRoom;

impl StorageQuota for NoRoom {
    fn kept(&self) -> Kept {
        Kept {
            own: 0,
            foreign: 1000,
        }
    }

    fn limits(&self) -> KeptLimits {
        KeptLimits {
            foreign: 1000,
            ..KeptLimits::NONE
        }
    }
}

#[tokio::test]
async fn without_room_nothing_is_fetched_and_it_is_tried_again_later() {
    let world = World::new();
    let owner = world.node(1).await;
    let setup = Setup {
        quota: Some(Arc::new(NoRoom)),
        ..Setup::fetching(&["anyone"])
    };
    let reader = setup.on(world.node(2).await).await;
    let outcome = owner
        .data
        .share_bytes(data(50), terms(reader.node.address()))
        .await
        .unwrap();
    let object = ObjectId {
        locator: outcome.data_hash.locator(),
        owner: owner.address(),
    };
    // Its copy may have been pushed here.
    dm_core::ports::ObjectStore::remove(&*reader.node.objects, &object)
        .await
        .unwrap();
    let now = dm_core::clock::now_ms();
    reader.learns_of(object).await;
    eventually("it is put off", async || {
        let waiting = reader.queue.scan(b"d", None, 9).await.unwrap();
        let at = waiting
            .first()
            .map(|(key, _)| u64::from_be_bytes(key[1..9].try_into().unwrap()));
        at.filter(|at| *at >= now + 30_000)
    })
    .await;
    assert!(!reader.has(&outcome.data_hash).await);
    // Learning of it again does not make it try at once.
    reader.learns_of(object).await;
    assert_eq!(reader.waiting().await, 1);
}
