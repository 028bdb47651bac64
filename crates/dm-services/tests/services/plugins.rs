//! What the node promises of its plugins, and against them.

use std::sync::{Arc, Mutex, atomic::Ordering};

use async_trait::async_trait;
use dm_core::{
    envelope::CHUNK_SIZE,
    plugin::{Hook, PIECE_OVERLAP, PluginFault, PluginState, Verdict},
    ports::{ComplianceLog, KeyValueStore, ObjectStore, Plugin, PluginSource},
};
use dm_services::{PluginConfig, PluginManager, ServiceError};
use dm_testing::{key_value::MemoryKeyValueStore, plugins::SamplePlugin, waiting::eventually};

use crate::{
    scripted::{Script, plugged, plugged_over},
    support::{data, terms},
};

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
    let readings = node.plugins.readings();
    let asked: Vec<_> = readings
        .iter()
        .map(|reading| (reading.name.as_str(), reading.seconds.count(), reading.faults))
        .collect();
    assert_eq!(asked, [("bad", 2, 2), ("good", 2, 0)]);
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
async fn a_plugin_that_is_switched_off_with_one_instance_is_off_on_all() {
    let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
    let guard = Script::new("guard", &[Hook::Share]);
    guard.says(refuse("no"));
    let guards = std::slice::from_ref(&guard);
    let first = plugged_over(guards, &[], store.clone()).await;
    let second = plugged_over(guards, &[], store).await;
    second.plugins.follow_others(&second.supervisor);
    let is = async |state| {
        let reached = || async { (second.state("guard") == state).then_some(()) };
        eventually("the other instance follows", reached).await;
    };
    first.plugins.disable("guard").await.unwrap();
    is(PluginState::Disabled).await;
    second.share(data(10)).await.unwrap();
    first.plugins.enable("guard").await.unwrap();
    is(PluginState::Running).await;
    assert!(second.share(data(11)).await.is_err());
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
    let manager = PluginManager::open(
        settings,
        node.store.clone(),
        node.node.catalog.clone(),
        node.bus.clone(),
    )
    .await
    .unwrap();
    manager.start(vec![Arc::new(Impostor)], &node.supervisor).await;
    let statuses = manager.statuses();
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].last_error.as_deref(), Some("it calls itself sample"));
}
