//! What the rotation of the key-encryption key promises, on in-memory ports.

use std::{sync::Arc, time::Duration};

use dm_core::{
    Address,
    envelope::ObjectId,
    event::{Event, EventKind},
    hash::DataHash,
    instance::{Instance, InstanceId},
    ports::{
        ComplianceLog, EventFilter, HistoryQuery, Instances, OperatorKeyError, OperatorKeys, ReadableObjects,
        Signer,
    },
    secret::SecretString,
};
use dm_services::{
    DataManager, DataPorts, KeyRotation, KeyRotationConfig, KeyRotationPorts, ServiceError, SharedTurns,
};
use dm_testing::{
    catalog::MemoryLeases, crypto::MemoryPassword, key_value::MemoryKeyValueStore, signer::TestSigner,
};
use futures::future::join_all;

use crate::support::{TestNode, World, eventually, settings, terms};

fn rotation(node: &TestNode) -> KeyRotation {
    rotation_with(node, KeyRotationConfig::default())
}

fn rotation_with(node: &TestNode, settings: KeyRotationConfig) -> KeyRotation {
    KeyRotation::new(ports(node), settings)
}

fn ports(node: &TestNode) -> KeyRotationPorts {
    KeyRotationPorts {
        key_ring: node.ports.key_ring.clone(),
        readable: node.catalog.clone(),
        uses: node.catalog.clone(),
        grants: node.ports.grants.clone(),
        password: Arc::new(MemoryPassword::new("password")),
        changes: node.catalog.clone(),
        log: node.log.clone(),
    }
}

#[tokio::test]
async fn each_rotation_is_recorded_once_whichever_instances_rotate_at_the_same_time() {
    const ROUNDS: usize = 5;
    let world = World::new();
    let node = world.node(1).await;
    let (instances, store) = (
        Arc::new(MemoryLeases::new()),
        Arc::new(MemoryKeyValueStore::new()),
    );
    let mut rotations = Vec::new();
    for n in 1..=3 {
        let id = InstanceId([n; 16]);
        let instance = Instance {
            id,
            name: String::new(),
            version: String::new(),
            peer_id: None,
            addresses: Vec::new(),
        };
        instances.note_instance(&instance).await.unwrap();
        let turns = SharedTurns::new(id, instances.clone(), store.clone(), "turns");
        let config = KeyRotationConfig::default();
        rotations.push(KeyRotation::among_instances(ports(&node), config, turns));
    }
    let mut made = Vec::new();
    for _ in 0..ROUNDS {
        let rotated = join_all(rotations.iter().map(KeyRotation::rotate)).await;
        made.extend(rotated.into_iter().map(|version| version.unwrap().to_string()));
    }
    let filter = EventFilter {
        kinds: [EventKind::KeyRotation].into(),
        ..EventFilter::default()
    };
    let query = HistoryQuery {
        filter,
        before: None,
        limit: 100,
    };
    let history = node.log.history(&query).await.unwrap().entries;
    let mut recorded: Vec<String> = history
        .iter()
        .map(|entry| entry.event.details["version"].clone())
        .collect();
    made.sort();
    recorded.sort();
    assert_eq!(recorded, made);
}

/// The newest rotation in the node's log.
async fn newest_event(node: &TestNode) -> Event {
    let filter = EventFilter {
        kinds: [EventKind::KeyRotation].into(),
        ..EventFilter::default()
    };
    node.log.find(&filter).await.unwrap().unwrap().event
}

async fn version_of(node: &TestNode, hash: &DataHash) -> u32 {
    node.catalog.readable(hash).await.unwrap().unwrap().key.version
}

#[tokio::test]
async fn after_a_rotation_every_key_is_wrapped_again_and_everything_can_be_read() {
    let world = World::new();
    let node = world.node(1).await;
    let mut hashes = Vec::new();
    for n in 0..600u32 {
        let data = n.to_be_bytes().to_vec();
        let shared = node
            .data
            .share_bytes(data.into(), terms(node.address()))
            .await
            .unwrap();
        hashes.push(shared.data_hash);
    }
    let rotation = rotation(&node);
    let before = version_of(&node, &hashes[0]).await;
    let version = rotation.rotate().await.unwrap();
    assert!(version > before);
    rotation.wrap_all_again().await.unwrap();
    for (n, hash) in (0u32..).zip(&hashes) {
        assert_eq!(version_of(&node, hash).await, version);
        assert_eq!(node.read(hash).await.unwrap(), n.to_be_bytes());
    }
    assert_eq!(newest_event(&node).await.details["version"], version.to_string());
}

#[tokio::test]
async fn the_background_work_follows_a_rotation() {
    let world = World::new();
    let node = world.node(1).await;
    let shared = node
        .data
        .share_bytes("kept".into(), terms(node.address()))
        .await
        .unwrap();
    let rotation = rotation(&node);
    let running = rotation.clone();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let ended = shutdown.clone();
    let task = tokio::spawn(async move { running.run(ended).await });
    let version = rotation.rotate().await.unwrap();
    eventually("the key is wrapped again", async || {
        (version_of(&node, &shared.data_hash).await == version).then_some(())
    })
    .await;
    shutdown.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_version_is_destroyed_once_nothing_needs_it() {
    let world = World::new();
    let node = world.node(1).await;
    let share = async |data: &'static str| {
        let shared = node.data.share_bytes(data.into(), terms(node.address())).await;
        shared.unwrap().data_hash
    };
    let hash = share("kept").await;
    let rotation = rotation(&node);
    let old = version_of(&node, &hash).await;
    let refusal = |result| match result {
        Err(ServiceError::KeyNeeded { version, reason }) => (version, reason),
        other => panic!("{other:?}"),
    };
    let (version, reason) = refusal(rotation.destroy(old).await);
    assert!(version == old && reason.contains("newest"), "{reason}");
    let newest = rotation.rotate().await.unwrap();
    let (version, reason) = refusal(rotation.destroy(old).await);
    assert!(version == old && reason.contains("1 content keys"), "{reason}");
    let uses = rotation.versions().await.unwrap();
    assert_eq!(uses.iter().map(|known| known.wraps).collect::<Vec<_>>(), [1, 0]);

    rotation.wrap_all_again().await.unwrap();
    rotation.destroy(old).await.unwrap();
    assert_eq!(newest_event(&node).await.details["destroyed"], old.to_string());
    let unknown = rotation.destroy(old).await;
    assert!(matches!(unknown, Err(ServiceError::UnknownKey(version)) if version == old));
    let held = rotation.versions().await.unwrap();
    assert!(matches!(held.as_slice(), [only] if only.version.version == newest && only.newest));
    assert_eq!(node.read(&hash).await.unwrap(), b"kept");
    let later = share("later").await;
    assert_eq!(node.read(&later).await.unwrap(), b"later");
}

#[tokio::test]
async fn a_share_that_was_begun_under_a_version_cannot_come_after_its_end() {
    let world = World::new();
    let node = world.node(1).await;
    let shared = node.data.share_bytes("kept".into(), terms(node.address()));
    let hash = shared.await.unwrap().data_hash;
    let rotation = rotation(&node);
    let begun = node.catalog.readable(&hash).await.unwrap().unwrap();
    rotation.rotate().await.unwrap();
    rotation.wrap_all_again().await.unwrap();
    rotation.destroy(begun.key.version).await.unwrap();
    assert!(node.catalog.put_readable(&begun).await.is_err());
    assert_eq!(node.read(&hash).await.unwrap(), b"kept");
}

#[tokio::test]
async fn versions_that_nothing_needs_end_by_themselves_where_that_is_wanted() {
    let world = World::new();
    let node = world.node(1).await;
    let shared = node.data.share_bytes("kept".into(), terms(node.address()));
    let hash = shared.await.unwrap().data_hash;
    let rotation = rotation_with(
        &node,
        KeyRotationConfig {
            destroy_retired: true,
            ..KeyRotationConfig::default()
        },
    );
    let running = rotation.clone();
    let task = tokio::spawn(async move { running.run(tokio_util::sync::CancellationToken::new()).await });
    let newest = rotation.rotate().await.unwrap();
    eventually("the old version is destroyed", async || {
        let versions = node.ports.key_ring.versions();
        (versions.len() == 1 && versions[0].version == newest).then_some(())
    })
    .await;
    assert_eq!(node.read(&hash).await.unwrap(), b"kept");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn the_newest_version_is_replaced_when_it_is_old_enough() {
    const AGE: Duration = Duration::from_millis(200);
    let world = World::new();
    let node = world.node(1).await;
    let before = node.ports.key_ring.versions();
    let young = KeyRotationConfig {
        max_age: Some(Duration::from_secs(3600)),
        ..KeyRotationConfig::default()
    };
    let aged = KeyRotationConfig {
        // Far longer than a rotation takes, so that the next version is not due at once.
        max_age: Some(AGE),
        ..KeyRotationConfig::default()
    };
    // Ages are told by the system's clock, which the paused one does not move.
    std::thread::sleep(AGE);
    for (settings, is_due) in [(young, false), (aged, true)] {
        let rotation = rotation_with(&node, settings);
        let end = tokio_util::sync::CancellationToken::new();
        let task = tokio::spawn({
            let end = end.clone();
            async move { rotation.run(end).await }
        });
        tokio::time::sleep(Duration::from_mins(10)).await;
        end.cancel();
        task.await.unwrap().unwrap();
        assert_eq!(node.ports.key_ring.versions().len() > before.len(), is_due);
    }
}

#[tokio::test]
async fn after_the_key_for_grants_is_replaced_others_use_the_new_one_and_old_grants_open() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    reader.spread();
    let share = async |data: &'static str| {
        let shared = owner.data.share_bytes(data.into(), terms(reader.address())).await;
        shared.unwrap().data_hash
    };
    let before = share("for the old key").await;
    let rotation = rotation(&reader);
    let old = reader.data.own_record();
    let public_key = rotation.rotate_grant_key().await.unwrap();
    reader.data.announce_changes();
    let find = async || owner.ports.network.find_address(reader.address()).await.unwrap();
    let record = eventually("the new record is announced", async || {
        find().await.filter(|record| record.hpke_public_key == public_key)
    })
    .await;
    assert!(record.sequence > old.sequence);
    assert_eq!(newest_event(&reader).await.details["key"], "grant_key");
    // Granted for the old key by who has not heard of the new one yet.
    let between = share("by an owner that knows the old record").await;
    for (hash, data) in [
        (before, "for the old key"),
        (between, "by an owner that knows the old record"),
    ] {
        assert_eq!(reader.read(&hash).await.unwrap(), data.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_makes_grants_for_a_new_key_within_a_minute() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let granted_for = async |data: &'static str| {
        let shared = owner.data.share_bytes(data.into(), terms(reader.address())).await;
        let id = ObjectId {
            locator: shared.unwrap().data_hash.locator(),
            owner: owner.address(),
        };
        let envelope = owner.ports.objects.envelope(&id).await.unwrap().unwrap();
        envelope.grants[0].key_id
    };
    let old = granted_for("before").await;
    reader.spread();
    rotation(&reader).rotate_grant_key().await.unwrap();
    reader.data.announce_changes();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        granted_for("at once").await,
        old,
        "the record is asked for once a minute"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_ne!(granted_for("a minute later").await, old);
    let told = owner
        .data
        .address_record(reader.address())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told.hpke_public_key, reader.ports.grants.public_key());
}

/// Acts for the node from the moment at which it is told to.
struct LaterOperator(std::sync::Mutex<Arc<TestSigner>>);

impl OperatorKeys for LaterOperator {
    fn operator(&self) -> Arc<dyn Signer> {
        self.0.lock().unwrap().clone()
    }

    fn account_of(&self, _: &SecretString) -> Result<Address, OperatorKeyError> {
        Err(OperatorKeyError::Invalid)
    }

    fn keep_successor(&self, _: &SecretString) -> Result<Arc<dyn Signer>, OperatorKeyError> {
        Err(OperatorKeyError::Invalid)
    }

    fn successor(&self) -> Option<Arc<dyn Signer>> {
        None
    }

    fn confirm_successor(&self) -> Result<(), OperatorKeyError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_partner_learns_who_acts_on_the_chain_after_a_change() {
    let world = World::new();
    let (node, partner) = (world.node(1).await, world.node(2).await);
    let operators = Arc::new(LaterOperator(std::sync::Mutex::new(Arc::new(TestSigner::new(1)))));
    let ports = DataPorts {
        operators: Some(operators.clone()),
        ..node.ports.clone()
    };
    let data = DataManager::new(&ports, settings()).unwrap();
    data.announce().await.unwrap();
    let known = async || {
        let record = partner.ports.network.find_address(node.address()).await.unwrap();
        record.unwrap().operator_account()
    };
    assert_eq!(known().await, node.address());
    let spreading = data.clone();
    tokio::spawn(async move {
        spreading
            .run_own_upkeep(tokio_util::sync::CancellationToken::new())
            .await
    });
    *operators.0.lock().unwrap() = Arc::new(TestSigner::new(3));
    data.announce_changes();
    eventually("the partner's network knows the operator account", async || {
        (known().await == TestSigner::new(3).address()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_change_of_the_master_password_is_recorded_and_a_wrong_one_is_not() {
    let world = World::new();
    let node = world.node(1).await;
    let rotation = rotation(&node);
    let change = async |old: &str, new: &str| {
        rotation
            .change_password(SecretString::new(old), SecretString::new(new))
            .await
    };
    for (old, new, field) in [
        ("wrong", "next", "old_password"),
        ("password", "", "new_password"),
    ] {
        let refused = change(old, new).await;
        assert!(matches!(refused, Err(ServiceError::Invalid { field: found, .. }) if found == field));
    }
    assert_eq!(node.events().await, 0);
    change("password", "next").await.unwrap();
    assert_eq!(newest_event(&node).await.details["key"], "master_password");
}
