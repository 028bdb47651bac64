//! Plugins that do what a test says.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    bus::EventBus,
    plugin::{
        Hook, Piece, PluginEvent, PluginFault, PluginInfo, PluginState, RetrievalView, ShareView, Verdict,
    },
    ports::{KeyValueStore, Plugin, PluginContext},
    tasks::Supervisor,
};
use dm_services::{DataManager, DataPorts, PluginConfig, PluginManager, RegisteredPlugins, ServiceError};
use dm_testing::key_value::MemoryKeyValueStore;

use crate::support::{TestNode, World, eventually, settings, terms};

/// What a test has a plugin do.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) verdict: Mutex<Option<Verdict>>,
    pub(crate) refuses_to_start: AtomicBool,
    pub(crate) panics: AtomicBool,
    pub(crate) hangs: AtomicBool,
    pub(crate) starts: AtomicU64,
    pub(crate) pieces: Mutex<Vec<Piece>>,
    pub(crate) heard: Mutex<Vec<PluginEvent>>,
    /// Shared by several plugins: who did what.
    pub(crate) diary: Arc<Mutex<Vec<String>>>,
}

impl Script {
    pub(crate) fn new(name: &'static str, hooks: &[Hook]) -> Arc<Self> {
        Arc::new(Self {
            name,
            hooks: hooks.to_vec(),
            ..Self::default()
        })
    }

    pub(crate) fn says(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap() = Some(verdict);
    }

    async fn answer(&self) -> Result<Verdict, PluginFault> {
        assert!(!self.panics.load(Ordering::SeqCst), "as it was told");
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(self.verdict.lock().unwrap().clone().unwrap_or(Verdict::Allow))
    }

    pub(crate) fn heard(&self) -> Vec<PluginEvent> {
        self.heard.lock().unwrap().clone()
    }

    /// The events of this topic that it heard of, once there are so many.
    pub(crate) async fn hears(&self, topic: &str, count: usize) -> Vec<PluginEvent> {
        eventually("the events arrive", async || {
            let mut heard = self.heard();
            heard.retain(|event| event.topic == topic);
            (heard.len() >= count).then_some(heard)
        })
        .await
    }

    fn note(&self, what: &str) {
        self.diary.lock().unwrap().push(format!("{what} {}", self.name));
    }
}

#[async_trait]
impl Plugin for Script {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            call_limit: Duration::from_millis(200),
            ..PluginInfo::new(self.name, "1.2.3", &self.hooks)
        }
    }

    async fn initialize(&self, _context: PluginContext) -> Result<(), PluginFault> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        self.note("start");
        if self.refuses_to_start.load(Ordering::SeqCst) {
            return Err(PluginFault::new("not today"));
        }
        Ok(())
    }

    async fn shutdown(&self) {
        self.note("stop");
    }

    async fn on_event(&self, event: &PluginEvent) -> Result<(), PluginFault> {
        self.answer().await?;
        self.heard.lock().unwrap().push(event.clone());
        Ok(())
    }

    async fn before_share(&self, _share: &ShareView) -> Result<Verdict, PluginFault> {
        self.answer().await
    }

    async fn examine(&self, piece: &Piece) -> Result<Verdict, PluginFault> {
        self.pieces.lock().unwrap().push(piece.clone());
        self.answer().await
    }

    async fn before_retrieval(&self, _retrieval: &RetrievalView) -> Result<Verdict, PluginFault> {
        self.answer().await
    }
}

/// A node with plugins.
pub(crate) struct Plugged {
    pub(crate) node: TestNode,
    pub(crate) data: DataManager,
    pub(crate) plugins: PluginManager,
    pub(crate) bus: EventBus,
    pub(crate) store: Arc<dyn KeyValueStore>,
    pub(crate) supervisor: Supervisor,
}

pub(crate) async fn plugged(plugins: &[Arc<Script>], required: &[&str]) -> Plugged {
    plugged_over(plugins, required, Arc::new(MemoryKeyValueStore::new())).await
}

pub(crate) async fn plugged_over(
    plugins: &[Arc<Script>],
    required: &[&str],
    store: Arc<dyn KeyValueStore>,
) -> Plugged {
    plugged_on(World::new().node(1).await, plugins, required, store).await
}

pub(crate) async fn plugged_on(
    node: TestNode,
    plugins: &[Arc<Script>],
    required: &[&str],
    store: Arc<dyn KeyValueStore>,
) -> Plugged {
    let supervisor = Supervisor::new();
    let bus = node.ports.bus.clone();
    let settings_of_plugins = PluginConfig {
        node_id: "test".to_owned(),
        address: node.address(),
        required: required.iter().map(|name| (*name).to_owned()).collect(),
        examine_received: false,
    };
    let manager = PluginManager::open(
        settings_of_plugins,
        store.clone(),
        node.catalog.clone(),
        bus.clone(),
    )
    .await
    .unwrap();
    let source: RegisteredPlugins = plugins
        .iter()
        .map(|plugin| plugin.clone() as Arc<dyn Plugin>)
        .collect();
    manager.start(vec![Arc::new(source)], &supervisor).await;
    let ports = DataPorts {
        plugins: Some(manager.clone()),
        ..node.ports.clone()
    };
    Plugged {
        data: DataManager::new(&ports, settings()).unwrap(),
        node,
        plugins: manager,
        bus,
        store,
        supervisor,
    }
}

impl Plugged {
    pub(crate) async fn share(&self, data: Bytes) -> Result<dm_core::share::ShareOutcome, ServiceError> {
        self.data.share_bytes(data, terms(self.node.address())).await
    }

    pub(crate) fn state(&self, name: &str) -> PluginState {
        let statuses = self.plugins.statuses();
        statuses.iter().find(|status| status.name == name).unwrap().state
    }

    pub(crate) async fn until(&self, name: &str, state: PluginState) {
        eventually("the plugin gets there", async || {
            (self.state(name) == state).then_some(())
        })
        .await;
    }
}
