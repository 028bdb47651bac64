//! What the background work promises: everything that is due is reached, nobody holds
//! up the others, and what keeps failing is seen.

use std::time::Duration;

use dm_core::{
    Address,
    clock::now_ms,
    envelope::ObjectId,
    hash::DataHash,
    health::Finding,
    news::News,
    ports::{HealthCheck, NetworkStatus, ObjectStore, ReadableObjects, ShareCatalog, Signer},
    share::ShareTerms,
};
use dm_services::{DataConfig, DataManager};
use dm_testing::{network::Stall, signer::TestSigner};
use tokio_util::sync::CancellationToken;

use crate::support::{TestNode, World, data, eventually, holders, settings, terms};

/// Shares so many pieces of data with somebody.
async fn share_many(node: &TestNode, count: usize, terms: &ShareTerms) -> Vec<DataHash> {
    let mut hashes = Vec::with_capacity(count);
    for size in 1..=count {
        let shared = node.data.share_bytes(data(size), terms.clone()).await.unwrap();
        hashes.push(shared.data_hash);
    }
    hashes
}

#[tokio::test]
async fn every_owed_grant_is_made_however_many_there_are_and_whoever_stays_away() {
    // More than one page of the catalog has.
    const MANY: usize = 230;
    let world = World::new();
    let owner = world.node(1).await;
    let away = share_many(&owner, MANY, &terms(Address::repeat_byte(0xAA))).await;
    let later = TestSigner::new(2).address();
    let hashes = share_many(&owner, MANY, &terms(later)).await;
    assert_eq!(away, hashes);
    let reader = world.node(2).await;
    owner.data.catch_up().await;
    for hash in &hashes {
        assert!(reader.read(hash).await.is_ok());
    }
    let owed = owner.catalog.owed_recipients(None, 9).await.unwrap();
    assert_eq!(owed, [Address::repeat_byte(0xAA)]);
}

#[tokio::test]
async fn expired_data_is_erased_although_no_peer_answers() {
    const MANY: usize = 120;
    let world = World::new();
    let (owner, _peer) = (world.node(1).await, world.node(2).await);
    owner.network.set_online(false);
    let soon = ShareTerms {
        expires_at: Some(now_ms() + 1500),
        ..terms(owner.address())
    };
    let hashes = share_many(&owner, MANY, &soon).await;
    owner.network.set_online(true);
    owner.network.stall(Stall::Pushes);
    let manager = DataManager::new(&owner.ports, settings()).unwrap();
    eventually("all of it is erased", async || {
        manager.catch_up().await;
        (readable(&owner, &hashes).await == 0).then_some(())
    })
    .await;
}

/// How many of these can still be read.
async fn readable(node: &TestNode, hashes: &[DataHash]) -> usize {
    let mut left = 0;
    for hash in hashes {
        left += usize::from(node.catalog.readable(hash).await.unwrap().is_some());
    }
    left
}

#[tokio::test]
async fn upkeep_that_keeps_failing_shows_in_its_health_and_why() {
    let world = World::new();
    let owner = world.node(1).await;
    assert_eq!(owner.data.part(), "upkeep");
    owner.log.set_overloaded(true);
    owner
        .data
        .share_bytes(data(100), terms(owner.address()))
        .await
        .unwrap();
    owner.data.catch_up().await;
    assert_eq!(owner.data.check().await, Finding::Working, "once is no trouble");
    owner.data.catch_up().await;
    let Finding::Degraded(trouble) = owner.data.check().await else {
        panic!("it keeps failing");
    };
    for part in [
        "recording interrupted shares keeps failing",
        "the oldest is due for 0 minutes",
    ] {
        assert!(trouble.reason.contains(part), "{}", trouble.reason);
    }
    owner.log.set_overloaded(false);
    owner.data.catch_up().await;
    assert_eq!(owner.data.check().await, Finding::Working);
}

#[tokio::test]
async fn an_owner_fetches_its_own_object_back_when_its_store_has_lost_it() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let shared = owner
        .data
        .share_bytes(data(100_000), terms(reader.address()))
        .await
        .unwrap();
    assert_eq!(shared.replicas, 1);
    let id = ObjectId {
        locator: shared.data_hash.locator(),
        owner: owner.address(),
    };
    assert!(owner.objects.remove(&id).await.unwrap());
    assert!(owner.read(&shared.data_hash).await.unwrap() == data(100_000));
    assert!(owner.objects.remove(&id).await.unwrap());
    // Nobody has to ask for it.
    owner.data.catch_up().await;
    assert!(
        owner.objects.envelope(&id).await.unwrap().is_some(),
        "it is here again"
    );
    owner.network.set_online(false);
    assert!(owner.read(&shared.data_hash).await.unwrap() == data(100_000));
}

#[tokio::test]
async fn a_peer_that_was_away_for_a_moment_gets_what_was_shared_meanwhile() {
    let world = World::new();
    let (owner, stays, goes) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let terms = terms(owner.address());
    // No pause ends before the test does.
    let patient = DataConfig {
        retry_interval: Duration::from_secs(3600),
        ..settings()
    };
    let manager = DataManager::new(&owner.ports, patient).unwrap();
    owner.network.set_online(false);
    let early = manager.share_bytes(data(100), terms.clone()).await.unwrap();
    owner.network.set_online(true);
    let upkeep = manager.clone();
    let running = tokio::spawn(async move { upkeep.run_upkeep(CancellationToken::new()).await });
    eventually("both have the first object", async || {
        (holders(&owner, &early.data_hash).await == 2).then_some(())
    })
    .await;

    goes.network.set_online(false);
    let late = manager.share_bytes(data(101), terms).await.unwrap();
    assert_eq!(late.replicas, 1);
    goes.network.set_online(true);
    let peer_id = goes.network.local_peer_id();
    owner.ports.bus.publish(News::PeerConnected { peer_id });
    eventually("both have the second object", async || {
        (holders(&owner, &late.data_hash).await == 2).then_some(())
    })
    .await;
    assert!(stays.network.is_running());
    running.abort();
}
