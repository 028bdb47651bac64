//! Each change of keys has one event, whoever hangs up and whatever stops.

use std::{collections::BTreeMap, sync::Arc};

use dm_core::{
    event::EventKind,
    ports::{
        BegunKeyChange, ComplianceLog, EventFilter, HistoryQuery, KeyChange, KeyChanges, MasterPassword,
    },
    secret::SecretString,
};
use dm_services::{KeyRotation, KeyRotationConfig, KeyRotationPorts};
use dm_testing::crypto::MemoryPassword;
use tokio_util::sync::CancellationToken;

use crate::support::{TestNode, World, eventually, terms};

const PASSWORD: &str = "password";

/// A rotation of the node's keys; another one after each start.
fn rotation(node: &TestNode, password: &Arc<MemoryPassword>) -> KeyRotation {
    let ports = KeyRotationPorts {
        key_ring: node.ports.key_ring.clone(),
        readable: node.catalog.clone(),
        uses: node.catalog.clone(),
        grants: node.ports.grants.clone(),
        password: password.clone(),
        changes: node.catalog.clone(),
        log: node.log.clone(),
    };
    KeyRotation::new(ports, KeyRotationConfig::default())
}

/// What the events of changes of keys say, oldest first.
async fn events(node: &TestNode) -> Vec<BTreeMap<String, String>> {
    let query = HistoryQuery {
        filter: EventFilter {
            kinds: [EventKind::KeyRotation].into(),
            ..EventFilter::default()
        },
        before: None,
        limit: 100,
    };
    let page = node.log.history(&query).await.unwrap();
    page.entries
        .into_iter()
        .rev()
        .map(|entry| entry.event.details)
        .collect()
}

async fn is_settled(node: &TestNode) {
    eventually("every change is settled", async || {
        node.catalog
            .begun_key_changes()
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
}

/// What the next start does.
async fn start_again(node: &TestNode, password: &Arc<MemoryPassword>) {
    let (rotation, end) = (rotation(node, password), CancellationToken::new());
    let ended = end.clone();
    let running = tokio::spawn(async move { rotation.run(ended).await });
    is_settled(node).await;
    end.cancel();
    running.await.unwrap().unwrap();
}

/// Polls once, like a server whose client hangs up at once, and gives up.
async fn hang_up<T>(work: impl Future<Output = T>) {
    let mut work = Box::pin(work);
    assert!(futures::poll!(&mut work).is_pending());
}

#[tokio::test]
async fn a_change_of_keys_leaves_its_event_although_the_client_hangs_up() {
    let world = World::new();
    let node = world.node(1).await;
    node.data
        .share_bytes("kept".into(), terms(node.address()))
        .await
        .unwrap();
    let password = Arc::new(MemoryPassword::new(PASSWORD));
    let keys = rotation(&node, &password);
    let first = node.ports.key_ring.versions()[0].version;

    hang_up(keys.rotate()).await;
    eventually("the rotation is recorded", async || {
        (events(&node).await.len() == 1).then_some(())
    })
    .await;
    keys.wrap_all_again().await.unwrap();
    hang_up(keys.destroy(first)).await;
    eventually("the end is recorded", async || {
        (events(&node).await.len() == 2).then_some(())
    })
    .await;
    hang_up(keys.rotate_grant_key()).await;
    eventually("the key is recorded", async || {
        (events(&node).await.len() == 3).then_some(())
    })
    .await;
    let [old, new] = [PASSWORD, "another one"].map(SecretString::new);
    hang_up(keys.change_password(old, new)).await;
    eventually("the password is recorded", async || {
        (events(&node).await.len() == 4).then_some(())
    })
    .await;
    is_settled(&node).await;
    let kinds: Vec<String> = events(&node)
        .await
        .iter()
        .map(|details| details["key"].clone())
        .collect();
    assert_eq!(kinds, ["data_key", "data_key", "grant_key", "master_password"]);
    assert_eq!(node.ports.key_ring.versions().len(), 1);
}

/// The changes that can be interrupted, each as it is begun, and how it is made.
fn changes(node: &TestNode, password: &Arc<MemoryPassword>) -> Vec<(KeyChange, Box<dyn Fn()>)> {
    let (ring, grants) = (node.ports.key_ring.clone(), node.ports.grants.clone());
    let newest = ring.versions().last().unwrap().version;
    let public_key = hex::encode(grants.public_key());
    let (ending, protected) = (ring.clone(), password.clone());
    vec![
        (
            KeyChange::KeyEncryptionKey { newest },
            Box::new(move || assert!(ring.rotate().is_ok())),
        ),
        (
            KeyChange::KeyEncryptionKeyEnd { version: newest },
            Box::new(move || ending.destroy(newest).unwrap()),
        ),
        (
            KeyChange::GrantKey { newest: public_key },
            Box::new(move || assert!(grants.rotate().is_ok())),
        ),
        (
            KeyChange::MasterPassword {
                generation: password.generation(),
            },
            Box::new(move || {
                let [old, new] = [PASSWORD, "another one"].map(SecretString::new);
                protected.change(&old, &new).unwrap();
            }),
        ),
    ]
}

#[tokio::test]
async fn a_change_of_keys_has_one_event_wherever_a_stop_interrupts_it() {
    let world = World::new();
    let node = world.node(1).await;
    let password = Arc::new(MemoryPassword::new(PASSWORD));
    let mut recorded = 0;
    for (number, (change, make)) in (0u8..).zip(changes(&node, &password)) {
        let begun = BegunKeyChange {
            id: [number; 16],
            change,
            events: node.log.history(&all()).await.unwrap().entries.len() as u64,
        };
        // Stopped before it was made.
        node.catalog.begin_key_change(&begun).await.unwrap();
        start_again(&node, &password).await;
        assert_eq!(events(&node).await.len(), recorded, "{begun:?}");
        // Stopped after it was made.
        node.catalog.begin_key_change(&begun).await.unwrap();
        make();
        start_again(&node, &password).await;
        recorded += 1;
        assert_eq!(events(&node).await.len(), recorded, "{begun:?}");
        // Stopped after it was recorded.
        node.catalog.begin_key_change(&begun).await.unwrap();
        start_again(&node, &password).await;
        assert_eq!(events(&node).await.len(), recorded, "{begun:?}");
    }
}

fn all() -> HistoryQuery {
    HistoryQuery {
        filter: EventFilter::default(),
        before: None,
        limit: 1000,
    }
}
