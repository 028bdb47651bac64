//! An upload through restarts, kills, full disks and new keys of the node.

use std::sync::Arc;

use bytes::Bytes;
use dm_core::{
    Address, U256,
    clock::now_ms,
    hash::DataHash,
    payment::PaymentTerms,
    ports::{UnfinishedObjects, UploadCatalog},
    share::ShareTerms,
    upload::{UploadId, UploadStage},
};
use dm_services::{
    DataManager, DataPorts, KeyRotation, KeyRotationConfig, KeyRotationPorts, ServiceError, UploadError,
    UploadOutcome,
};
use dm_testing::{
    crypto::MemoryPassword,
    faults::{Fault, Faults},
};

use crate::{
    support::{World, data, settings, terms},
    uploading::{KEY, SIZE, begin, offset, restarted, send, shared},
};

#[tokio::test]
async fn what_a_killed_node_left_of_no_upload_is_collected() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    send(&node.data, id, &bytes, 0..SIZE - 1).await.unwrap();
    node.catalog.remove_upload(id).await.unwrap();
    node.data.catch_up().await;
    assert!(node.objects.list_unfinished().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_upload_of_which_something_is_lost_ends_and_can_be_begun_anew() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    send(&node.data, id, &bytes, 0..SIZE - 1).await.unwrap();
    node.objects.forget_unfinished(id).await.unwrap();
    let data = restarted(&node);
    let lost = send(&data, id, &bytes, SIZE - 1..SIZE).await;
    assert!(matches!(lost, Err(UploadError::Unknown)), "{lost:?}");
    let gone = data.uploads().progress(KEY, id).await;
    assert!(matches!(gone, Err(UploadError::Unknown)), "{gone:?}");
}

#[tokio::test]
async fn an_upload_goes_on_under_a_new_version_of_the_nodes_key_and_the_old_one_stays_until_then() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    send(&node.data, id, &bytes, 0..SIZE / 2).await.unwrap();
    let rotation = KeyRotation::new(
        KeyRotationPorts {
            key_ring: node.ports.key_ring.clone(),
            readable: node.catalog.clone(),
            uses: node.catalog.clone(),
            grants: node.ports.grants.clone(),
            password: Arc::new(MemoryPassword::new("password")),
            changes: node.catalog.clone(),
            log: node.log.clone(),
        },
        KeyRotationConfig {
            max_age: None,
            destroy_retired: true,
        },
    );
    let UploadStage::Open { key, .. } = node.catalog.upload(id).await.unwrap().unwrap().stage else {
        panic!("it is open");
    };
    rotation.rotate().await.unwrap();
    rotation.wrap_all_again().await.unwrap();
    let kept = rotation.destroy(key.version).await;
    assert!(matches!(kept, Err(ServiceError::KeyNeeded { .. })), "{kept:?}");
    send(&restarted(&node), id, &bytes, SIZE / 2..SIZE).await.unwrap();
    assert_eq!(shared(&node.data, id).await.data_hash, DataHash::of(&bytes));
    rotation.wrap_all_again().await.unwrap();
    rotation.destroy(key.version).await.unwrap();
}

/// Sends what is missing until all is there, as a client does: after an error it asks where
/// the upload is. The node starts again whenever it was killed.
pub(crate) async fn send_to_the_end(
    ports: &DataPorts,
    faults: &Faults,
    bytes: &Bytes,
    terms: &[ShareTerms],
) -> UploadId {
    let mut data = DataManager::new(ports, settings()).unwrap();
    let mut begun = None;
    for _ in 0..100 {
        if faults.is_killed() {
            faults.revive();
            data = DataManager::new(ports, settings()).unwrap();
        }
        let Some(id) = begun else {
            begun = data
                .uploads()
                .begin(KEY, bytes.len() as u64, terms)
                .await
                .ok()
                .map(|begun| begun.id);
            continue;
        };
        let Ok(progress) = data.uploads().progress(KEY, id).await else {
            continue;
        };
        if progress.offset == progress.length {
            match data.uploads().outcome(KEY, id).await {
                Ok(UploadOutcome::Shared(_)) => return id,
                Ok(UploadOutcome::SharedWithEach { outcomes, .. }) if outcomes.iter().all(Result::is_ok) => {
                    return id;
                }
                _ => continue,
            }
        }
        let start = progress.offset as usize;
        // Whatever comes of it, the upload says where it is.
        let end = (start + bytes.len() / 2).min(bytes.len());
        let _ = send(&data, id, bytes, start..end).await;
    }
    panic!("the upload never ends");
}

#[tokio::test]
async fn a_node_that_is_killed_at_any_write_shares_an_upload_once() {
    let bytes = data(SIZE);
    for fault in [
        Fault::KilledBefore,
        Fault::KilledAfter,
        Fault::Refused,
        Fault::Unconfirmed,
    ] {
        let mut writes = 0;
        let mut at = 0;
        while at == 0 || at < writes {
            let world = World::new();
            let faults = Faults::new();
            let node = world.node_with(1, &faults).await;
            let before = faults.writes();
            faults.after(at, fault);
            let id = send_to_the_end(&node.ports, &faults, &bytes, &[terms(node.address())]).await;
            writes = faults.writes() - before;
            let data = DataManager::new(&node.ports, settings()).unwrap();
            data.catch_up().await;
            assert_eq!(shared(&data, id).await.data_hash, DataHash::of(&bytes));
            assert_eq!(
                node.read(&DataHash::of(&bytes)).await.unwrap(),
                bytes,
                "{fault:?} {at}"
            );
            assert_eq!(node.events().await, 1, "{fault:?} {at}");
            at += 1;
        }
        assert!(writes > 8, "{writes}");
    }
}

#[tokio::test]
async fn a_complete_upload_is_shared_after_a_restart_though_nobody_asks() {
    let world = World::new();
    let faults = Faults::new();
    let node = world.node_with(1, &faults).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    send(&node.data, id, &bytes, 0..SIZE - 1).await.unwrap();
    // Killed once the last byte is durable: after the write of the chunks and of the place.
    faults.after(1, Fault::KilledAfter);
    assert!(send(&node.data, id, &bytes, SIZE - 1..SIZE).await.is_err());
    assert!(faults.is_killed());
    faults.revive();
    let data = restarted(&node);
    assert_eq!(node.events().await, 0);
    data.catch_up().await;
    assert_eq!(node.events().await, 1);
    assert_eq!(node.read(&DataHash::of(&bytes)).await.unwrap(), bytes);
}

#[tokio::test]
async fn an_upload_that_finds_no_room_is_shared_once_there_is_some() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    send(&node.data, id, &bytes, 0..SIZE - 1).await.unwrap();
    node.objects.set_quota(Some(10));
    let full = send(&node.data, id, &bytes, SIZE - 1..SIZE).await;
    assert!(
        matches!(full, Err(UploadError::Service(ServiceError::StorageFull))),
        "{full:?}"
    );
    assert_eq!(
        offset(&node.data, id).await,
        SIZE as u64,
        "no byte need come again"
    );
    node.objects.set_quota(None);
    node.data.catch_up().await;
    assert_eq!(shared(&node.data, id).await.data_hash, DataHash::of(&bytes));
}

#[tokio::test]
async fn a_refused_share_is_not_made_behind_its_clients_back() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(1000);
    let priced = ShareTerms {
        payment: Some(PaymentTerms {
            token: Address::repeat_byte(9),
            amount: U256::from(5),
            consent: None,
        }),
        ..terms(node.address())
    };
    let id = begin(&node.data, 1000, &priced).await;
    let refused = send(&node.data, id, &bytes, 0..1000).await;
    assert!(
        matches!(refused, Err(UploadError::Service(ServiceError::Rejected { .. }))),
        "{refused:?}"
    );
    let due = node.catalog.due_uploads(now_ms(), None, 9).await.unwrap();
    assert!(due.is_empty(), "only its client tries again: {due:?}");
    let again = node.data.uploads().outcome(KEY, id).await;
    assert!(
        matches!(again, Err(UploadError::Service(ServiceError::Rejected { .. }))),
        "{again:?}"
    );
    assert_eq!(node.events().await, 0);
}
