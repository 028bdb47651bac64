//! A node that receives, with a plugin that keeps the door.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dm_core::{
    Address,
    config::{Accept, Acknowledge, FetchConfig},
    descriptor::{Description, LabelPairs, Labels},
    envelope::ObjectId,
    hash::DataHash,
    inbox::ItemState,
    plugin::{Hook, Piece, PluginFault, PluginInfo, ReceiveStage, ReceivedView, Verdict},
    ports::{InboxCatalog, KeyValueStore, Plugin, PluginContext, ReadableObjects, StorageQuota},
    tasks::Supervisor,
};
use dm_services::{
    DataManager, DataPorts, PluginConfig, PluginManager, RegisteredPlugins, ServiceError,
    inbox::{
        Arrivals, FetchPolicy, FetchPorts, Fetches, Inbox, InboxEntry, InboxFilter, InboxPorts, InboxSettings,
    },
};
use dm_testing::{key_value::MemoryKeyValueStore, network::Stall};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use crate::inboxes::arrival;
use crate::support::{TestNode, deliveries_of, eventually, settings, terms};

/// A plugin that refuses what it was told to, and remembers what it was asked.
pub(crate) struct Doorkeeper {
    pub(crate) hooks: Vec<Hook>,
    pub(crate) refuses: Mutex<Option<ReceiveStage>>,
    pub(crate) fails: bool,
    pub(crate) asked: Mutex<Vec<ReceivedView>>,
}

impl Doorkeeper {
    pub(crate) fn new(hooks: &[Hook]) -> Arc<Self> {
        Arc::new(Self {
            hooks: hooks.to_vec(),
            refuses: Mutex::default(),
            fails: false,
            asked: Mutex::default(),
        })
    }

    pub(crate) fn refuses(&self, stage: Option<ReceiveStage>) {
        *self.refuses.lock().unwrap() = stage;
    }

    pub(crate) fn asked(&self) -> Vec<ReceivedView> {
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
pub(crate) struct Reader {
    pub(crate) node: TestNode,
    pub(crate) data: DataManager,
    pub(crate) inbox: Inbox,
    /// Where it stands what is still to be fetched.
    pub(crate) queue: Arc<dyn KeyValueStore>,
    _tasks: Supervisor,
}

/// How a reader is set up.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) plugin: Option<Arc<Doorkeeper>>,
    pub(crate) is_required: bool,
    pub(crate) examine_received: bool,
    pub(crate) fetch: FetchConfig,
    pub(crate) quota: Option<Arc<dyn StorageQuota>>,
    pub(crate) queue: Option<Arc<dyn KeyValueStore>>,
    pub(crate) is_idle: bool,
    /// Whose objects no peer ever sends.
    pub(crate) stalled_sender: Option<Address>,
}

impl Setup {
    pub(crate) fn with(plugin: &Arc<Doorkeeper>) -> Self {
        Self {
            plugin: Some(plugin.clone()),
            ..Self::default()
        }
    }

    pub(crate) fn fetching(from: &[&str]) -> Self {
        Self {
            fetch: FetchConfig {
                from: from.iter().map(ToString::to_string).collect(),
                ..FetchConfig::default()
            },
            ..Self::default()
        }
    }

    pub(crate) async fn on(self, node: TestNode) -> Reader {
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
        let plugins = PluginManager::open(config, store, node.catalog.clone(), node.ports.bus.clone())
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
        if let Some(sender) = self.stalled_sender {
            node.network.stall(Stall::FetchesOf(sender));
        }
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
            arrivals: Arrivals::new(ports.catalog.clone()),
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
    pub(crate) async fn learns_of(&self, object: ObjectId) {
        self.node.catalog.note_arrivals(&[arrival(object)]).await.unwrap();
        eventually("what has come is looked at", async || {
            let waiting = self.node.catalog.arrivals(None, 1).await.unwrap();
            waiting.is_empty().then_some(())
        })
        .await;
    }

    pub(crate) async fn items(&self) -> Vec<InboxEntry> {
        let page = self.inbox.page(&InboxFilter::default(), None, 100).await;
        page.unwrap().entries
    }

    pub(crate) async fn read(&self, hash: &DataHash) -> Result<Vec<u8>, ServiceError> {
        let object = self.data.open(hash).await?;
        let size = object.size();
        let pieces: Vec<bytes::Bytes> = object.read(0..size).try_collect().await?;
        Ok(pieces.concat())
    }

    pub(crate) async fn has(&self, hash: &DataHash) -> bool {
        self.node.catalog.readable(hash).await.unwrap().is_some()
    }

    pub(crate) async fn fetches(&self, hash: &DataHash) {
        eventually("it is fetched by itself", async || {
            let items = self.inbox.entries_of(hash).await.unwrap();
            (items[0].item.state == ItemState::Fetched).then_some(())
        })
        .await;
        assert!(self.has(hash).await);
    }

    /// What is still to be fetched.
    pub(crate) async fn waiting(&self) -> usize {
        self.queue.scan(b"d", None, 100).await.unwrap().len()
    }
}

pub(crate) async fn shared(
    owner: &TestNode,
    reader: &Reader,
    content: &[u8],
    labels: &[(&str, &str)],
) -> ObjectId {
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
