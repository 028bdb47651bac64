//! What the node promises of its plugins, and against them.

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
    bus::{EventBus, NodeEvent},
    envelope::CHUNK_SIZE,
    news::News,
    plugin::{
        Hook, PIECE_OVERLAP, Piece, PluginFault, PluginInfo, PluginState, RetrievalView, ShareView, Verdict,
    },
    ports::{ComplianceLog, KeyValueStore, ObjectStore, Plugin, PluginContext, PluginSource},
    tasks::Supervisor,
};
use dm_services::{DataManager, DataPorts, PluginConfig, PluginManager, RegisteredPlugins, ServiceError};
use dm_testing::{key_value::MemoryKeyValueStore, plugins::SamplePlugin};

use crate::support::{TestNode, World, data, eventually, settings, terms};

/// What a test has a plugin do.
#[derive(Default)]
struct Script {
    name: &'static str,
    hooks: Vec<Hook>,
    verdict: Mutex<Option<Verdict>>,
    refuses_to_start: AtomicBool,
    panics: AtomicBool,
    hangs: AtomicBool,
    starts: AtomicU64,
    pieces: Mutex<Vec<Piece>>,
    topics: Mutex<Vec<String>>,
    /// Shared by several plugins: who did what.
    diary: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn new(name: &'static str, hooks: &[Hook]) -> Arc<Self> {
        Arc::new(Self {
            name,
            hooks: hooks.to_vec(),
            ..Self::default()
        })
    }

    fn says(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap() = Some(verdict);
    }

    async fn answer(&self) -> Result<Verdict, PluginFault> {
        assert!(!self.panics.load(Ordering::SeqCst), "as it was told");
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(self.verdict.lock().unwrap().clone().unwrap_or(Verdict::Allow))
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

    async fn on_event(&self, event: &NodeEvent) -> Result<(), PluginFault> {
        self.topics.lock().unwrap().push(event.parts().0);
        self.answer().await.map(|_| ())
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
struct Plugged {
    node: TestNode,
    data: DataManager,
    plugins: PluginManager,
    bus: EventBus,
    store: Arc<dyn KeyValueStore>,
    supervisor: Supervisor,
}

async fn plugged(plugins: &[Arc<Script>], required: &[&str]) -> Plugged {
    plugged_over(plugins, required, Arc::new(MemoryKeyValueStore::new())).await
}

async fn plugged_over(plugins: &[Arc<Script>], required: &[&str], store: Arc<dyn KeyValueStore>) -> Plugged {
    let node = World::new().node(1).await;
    let supervisor = Supervisor::new();
    let bus = node.ports.bus.clone();
    let settings_of_plugins = PluginConfig {
        node_id: "test".to_owned(),
        address: node.address(),
        required: required.iter().map(|name| (*name).to_owned()).collect(),
        examine_received: false,
    };
    let manager = PluginManager::open(settings_of_plugins, store.clone(), bus.clone())
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
    async fn share(&self, data: Bytes) -> Result<dm_core::share::ShareOutcome, ServiceError> {
        self.data.share_bytes(data, terms(self.node.address())).await
    }

    fn state(&self, name: &str) -> PluginState {
        let statuses = self.plugins.statuses();
        statuses.iter().find(|status| status.name == name).unwrap().state
    }

    async fn until(&self, name: &str, state: PluginState) {
        eventually("the plugin gets there", async || {
            (self.state(name) == state).then_some(())
        })
        .await;
    }
}

fn refuse(reason: &str) -> Verdict {
    Verdict::Refuse {
        reason: reason.to_owned(),
    }
}

#[tokio::test]
async fn a_refused_share_leaves_nothing_behind() {
    for hook in [Hook::Share, Hook::Content] {
        let guard = Script::new("guard", &[hook]);
        let node = plugged(std::slice::from_ref(&guard), &[]).await;
        guard.says(refuse("card number"));
        let refused = node.share(data(1000)).await.unwrap_err();
        assert_eq!(refused.to_string(), "plugin guard refuses this: card number");
        assert!(matches!(refused, ServiceError::Refused { plugin, .. } if plugin == "guard"));
        assert_eq!(node.node.events().await, 0);
        assert_eq!(node.node.objects.usage().await.unwrap().objects, 0);
        guard.says(Verdict::Allow);
        node.share(data(1000)).await.unwrap();
        assert_eq!(node.node.events().await, 1);
    }
}

#[tokio::test]
async fn an_upload_is_examined_as_it_arrives() {
    let guard = Script::new("guard", &[Hook::Content]);
    let node = plugged(std::slice::from_ref(&guard), &[]).await;
    let content = data(2 * CHUNK_SIZE as usize + 500);
    let mut upload = node.data.begin_upload().await.unwrap();
    upload.write(content.clone()).await.unwrap();
    upload.finish(terms(node.node.address())).await.unwrap();
    let in_pieces = guard.pieces.lock().unwrap().clone();
    guard.pieces.lock().unwrap().clear();
    assert_eq!(in_pieces.len(), 3);
    for (index, piece) in in_pieces.iter().enumerate() {
        let start = piece.offset as usize;
        assert_eq!(piece.bytes, content.slice(start..start + piece.bytes.len()));
        if index > 0 {
            assert_eq!(start, index * CHUNK_SIZE as usize - PIECE_OVERLAP);
        }
    }
    // The same data at once is shown in the same pieces.
    let other = terms(dm_core::Address::repeat_byte(9));
    node.data.share_bytes(content.clone(), other).await.unwrap();
    assert_eq!(*guard.pieces.lock().unwrap(), in_pieces);

    guard.says(refuse("no"));
    let mut upload = node.data.begin_upload().await.unwrap();
    let refused = upload.write(data(CHUNK_SIZE as usize)).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Refused { .. }));
}

#[tokio::test]
async fn a_refused_retrieval_delivers_nothing() {
    let guard = Script::new("guard", &[Hook::Retrieval]);
    let node = plugged(std::slice::from_ref(&guard), &[]).await;
    let shared = node.share(data(1000)).await.unwrap();
    guard.says(refuse("not at night"));
    let refused = node.data.open(&shared.data_hash).await.err().unwrap();
    assert!(matches!(refused, ServiceError::Refused { .. }));
    guard.says(Verdict::Annotate {
        note: "seen".to_owned(),
    });
    let object = node.data.open(&shared.data_hash).await.unwrap();
    assert_eq!(object.notes()["guard"], "seen");
}

#[tokio::test]
async fn a_note_is_part_of_the_event_and_is_cut_to_its_limit() {
    let (first, second) = (
        Script::new("a", &[Hook::Share]),
        Script::new("b", &[Hook::Content]),
    );
    let node = plugged(&[first.clone(), second.clone()], &[]).await;
    first.says(Verdict::Annotate {
        note: "é".repeat(10_000),
    });
    second.says(Verdict::Annotate {
        note: "checked".to_owned(),
    });
    let shared = node.share(data(10)).await.unwrap();
    let receipt = node.node.log.receipt(shared.leaf_index.unwrap()).await.unwrap();
    assert_eq!(
        receipt.as_ref().unwrap().event.details["plugin.a"],
        "é".repeat(512)
    );
    assert_eq!(receipt.as_ref().unwrap().event.details["plugin.b"], "checked");
    // What is logged is not kept any longer.
    assert!(node.store.scan(b"notes/", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_plugin_that_panics_or_hangs_is_stopped_and_started_again() {
    let bad = Script::new("bad", &[Hook::Share]);
    let good = Script::new("good", &[Hook::Share]);
    let node = plugged(&[bad.clone(), good.clone()], &[]).await;
    for fault in [&bad.panics, &bad.hangs] {
        fault.store(true, Ordering::SeqCst);
        // The share does not suffer from it, and others are still asked.
        good.says(Verdict::Annotate {
            note: "seen".to_owned(),
        });
        let content = data(100 + bad.starts.load(Ordering::SeqCst) as usize);
        let shared = node.share(content).await.unwrap();
        let receipt = node.node.log.receipt(shared.leaf_index.unwrap()).await.unwrap();
        assert_eq!(receipt.as_ref().unwrap().event.details.len(), 1);
        assert_eq!(node.state("bad"), PluginState::Failed);
        assert_eq!(node.state("good"), PluginState::Running);
        fault.store(false, Ordering::SeqCst);
        node.until("bad", PluginState::Running).await;
    }
    let status = &node.plugins.statuses()[0];
    assert_eq!(status.failures, 2);
    assert_eq!(status.last_error.as_deref(), Some("it took longer than 200ms"));
    assert_eq!(bad.starts.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn without_a_required_plugin_nothing_happens_that_it_has_a_say_in() {
    let guard = Script::new("guard", &[Hook::Share]);
    guard.refuses_to_start.store(true, Ordering::SeqCst);
    let node = plugged(std::slice::from_ref(&guard), &["guard", "missing"]).await;
    assert!(matches!(
        node.share(data(10)).await,
        Err(ServiceError::Unavailable(_))
    ));
    assert_eq!(node.node.events().await, 0);
    let statuses = node.plugins.statuses();
    assert_eq!(statuses[0].last_error.as_deref(), Some("not today"));
    assert_eq!(
        statuses[1].last_error.as_deref(),
        Some("there is no plugin of this name")
    );

    let node = plugged(std::slice::from_ref(&guard), &["guard"]).await;
    guard.refuses_to_start.store(false, Ordering::SeqCst);
    node.until("guard", PluginState::Running).await;
    let shared = node.share(data(10)).await.unwrap();
    guard.panics.store(true, Ordering::SeqCst);
    assert!(matches!(
        node.share(data(11)).await,
        Err(ServiceError::Unavailable(_))
    ));
    // It has no say in retrievals.
    node.data.open(&shared.data_hash).await.unwrap();
    assert!(matches!(
        node.plugins.disable("guard").await,
        Err(ServiceError::RequiredPlugin(_))
    ));
}

#[tokio::test]
async fn plugins_start_in_the_order_of_their_names_and_stop_in_reverse() {
    let diary = Arc::new(Mutex::new(Vec::new()));
    let plugins = ["c", "a", "b"].map(|name| {
        Arc::new(Script {
            name,
            diary: diary.clone(),
            ..Script::default()
        })
    });
    let node = plugged(&plugins, &[]).await;
    node.plugins.shut_down().await;
    let expected = ["start a", "start b", "start c", "stop c", "stop b", "stop a"];
    assert_eq!(*diary.lock().unwrap(), expected);
}

#[tokio::test]
async fn events_reach_a_plugin_and_one_that_fails_on_them_is_started_again() {
    let listener = Script::new("listener", &[Hook::Events]);
    let node = plugged(std::slice::from_ref(&listener), &[]).await;
    node.share(data(10)).await.unwrap();
    eventually("the event arrives", async || {
        let topics = listener.topics.lock().unwrap();
        topics.contains(&"data.shared".to_owned()).then_some(())
    })
    .await;
    listener.panics.store(true, Ordering::SeqCst);
    node.bus.publish(News::NodeStopping {});
    node.until("listener", PluginState::Failed).await;
    listener.panics.store(false, Ordering::SeqCst);
    node.until("listener", PluginState::Running).await;
}

#[tokio::test]
async fn a_plugin_is_switched_off_for_good_and_on_again() {
    let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
    let guard = Script::new("guard", &[Hook::Share]);
    guard.says(refuse("no"));
    let node = plugged_over(std::slice::from_ref(&guard), &[], store.clone()).await;
    let status = node.plugins.disable("guard").await.unwrap();
    assert_eq!(status.state, PluginState::Disabled);
    node.share(data(10)).await.unwrap();
    assert_eq!(
        node.plugins.reload("guard").await.unwrap().state,
        PluginState::Disabled
    );

    let node = plugged_over(std::slice::from_ref(&guard), &[], store.clone()).await;
    assert_eq!(node.state("guard"), PluginState::Disabled);
    assert_eq!(
        node.plugins.enable("guard").await.unwrap().state,
        PluginState::Running
    );
    assert!(node.share(data(10)).await.is_err());
    let starts = guard.starts.load(Ordering::SeqCst);
    assert_eq!(
        node.plugins.reload("guard").await.unwrap().state,
        PluginState::Running
    );
    assert_eq!(guard.starts.load(Ordering::SeqCst), starts + 1);
    assert!(matches!(
        node.plugins.enable("nobody").await,
        Err(ServiceError::UnknownPlugin(_))
    ));

    let node = plugged_over(&[guard], &[], store).await;
    assert_eq!(node.state("guard"), PluginState::Running);
}

#[tokio::test]
async fn a_source_that_offers_something_else_under_a_name_is_not_believed() {
    struct Impostor;
    #[async_trait]
    impl PluginSource for Impostor {
        async fn names(&self) -> Result<Vec<String>, PluginFault> {
            Ok(vec!["guard".to_owned(), "../evil".to_owned()])
        }
        async fn load(&self, _name: &str) -> Result<Option<Arc<dyn Plugin>>, PluginFault> {
            Ok(Some(Arc::new(SamplePlugin::default())))
        }
    }
    let node = plugged(&[], &[]).await;
    let settings = PluginConfig {
        node_id: "test".to_owned(),
        address: node.node.address(),
        required: Vec::new(),
        examine_received: false,
    };
    let manager = PluginManager::open(settings, node.store.clone(), node.bus.clone())
        .await
        .unwrap();
    manager.start(vec![Arc::new(Impostor)], &node.supervisor).await;
    let statuses = manager.statuses();
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].last_error.as_deref(), Some("it calls itself sample"));
}
