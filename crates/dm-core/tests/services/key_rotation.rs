//! What the rotation of the data key promises, on in-memory ports.

use dm_core::{
    event::EventKind,
    hash::DataHash,
    ports::{ComplianceLog, EventFilter, ReadableObjects},
    services::{KeyRotation, KeyRotationPorts},
};

use crate::support::{TestNode, World, eventually, terms};

fn rotation(node: &TestNode) -> KeyRotation {
    let ports = KeyRotationPorts {
        key_ring: node.ports.key_ring.clone(),
        readable: node.catalog.clone(),
        log: node.log.clone(),
    };
    KeyRotation::new(ports, None)
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
    let filter = EventFilter {
        kinds: [EventKind::KeyRotation].into(),
        ..EventFilter::default()
    };
    let event = node.log.find(&filter).await.unwrap().unwrap().event;
    assert_eq!(event.details["version"], version.to_string());
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
