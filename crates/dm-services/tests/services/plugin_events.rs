//! Plugins hear of everything that the journal keeps, each at its own pace.

use std::sync::{Arc, atomic::Ordering};

use dm_core::{
    news::News,
    plugin::{Hook, PluginState},
    ports::KeyValueStore,
};
use dm_testing::key_value::MemoryKeyValueStore;

use crate::{
    scripted::{Script, plugged, plugged_on, plugged_over},
    support::{data, eventually},
};

/// An event that the journal does not keep.
fn passing() -> News {
    News::PeerConnected {
        peer_id: "somebody".to_owned(),
    }
}

#[tokio::test]
async fn events_reach_a_plugin_and_one_that_fails_on_them_is_started_again() {
    let listener = Script::new("listener", &[Hook::Events]);
    let node = plugged(std::slice::from_ref(&listener), &[]).await;
    node.share(data(10)).await.unwrap();
    listener.hears("data.shared", 1).await;
    node.bus.publish(passing());
    listener.hears("network.peer_connected", 1).await;
    listener.panics.store(true, Ordering::SeqCst);
    node.bus.publish(passing());
    node.until("listener", PluginState::Failed).await;
    listener.panics.store(false, Ordering::SeqCst);
    node.until("listener", PluginState::Running).await;
}

#[tokio::test]
async fn an_event_on_which_a_plugin_failed_comes_again_and_the_others_behind_it() {
    let listener = Script::new("listener", &[Hook::Events]);
    let node = plugged(std::slice::from_ref(&listener), &[]).await;
    listener.panics.store(true, Ordering::SeqCst);
    for size in 1..=3 {
        node.share(data(size)).await.unwrap();
    }
    node.until("listener", PluginState::Failed).await;
    listener.panics.store(false, Ordering::SeqCst);
    let heard = listener.hears("data.shared", 3).await;
    let places: Vec<u64> = heard.iter().map(|event| event.place.unwrap().position).collect();
    assert!(places.is_sorted() && places.len() == 3, "{places:?}");
    assert_eq!(node.plugins.statuses()[0].events_missed, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_on_which_a_plugin_always_fails_is_given_up_and_counted() {
    let listener = Script::new("listener", &[Hook::Events]);
    let node = plugged(std::slice::from_ref(&listener), &[]).await;
    listener.panics.store(true, Ordering::SeqCst);
    node.share(data(10)).await.unwrap();
    eventually("it is given up", async || {
        let missed = node.plugins.statuses()[0].events_missed;
        (missed > 0).then_some(())
    })
    .await;
    listener.panics.store(false, Ordering::SeqCst);
    node.share(data(20)).await.unwrap();
    listener.hears("data.shared", 1).await;
}

#[tokio::test]
async fn what_happens_while_a_plugin_is_away_reaches_it_after_the_restart_of_the_node() {
    let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
    let listener = Script::new("listener", &[Hook::Events]);
    let node = plugged_over(std::slice::from_ref(&listener), &[], store.clone()).await;
    node.share(data(10)).await.unwrap();
    listener.hears("data.shared", 1).await;
    node.plugins.shut_down().await;
    node.share(data(20)).await.unwrap();

    let node = plugged_on(node.node, std::slice::from_ref(&listener), &[], store).await;
    let heard = listener.hears("data.shared", 2).await;
    assert_eq!(heard.len(), 2, "it was kept how far the plugin was");
    assert_ne!(heard[0].data["data_hash"], heard[1].data["data_hash"]);
    drop(node);
}

#[tokio::test]
async fn a_plugin_that_hangs_on_an_event_holds_up_no_other() {
    let (slow, fast) = (
        Script::new("slow", &[Hook::Events]),
        Script::new("fast", &[Hook::Events]),
    );
    let node = plugged(&[slow.clone(), fast.clone()], &[]).await;
    slow.hangs.store(true, Ordering::SeqCst);
    for size in 1..=20 {
        node.share(data(size)).await.unwrap();
    }
    fast.hears("data.shared", 20).await;
    assert!(slow.heard().is_empty());
    slow.hangs.store(false, Ordering::SeqCst);
    slow.hears("data.shared", 20).await;
}
