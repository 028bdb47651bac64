//! A node that only introduces others: it serves the DHT and keeps no objects.

use dm_core::{
    address_record::AddressRecord,
    ports::{AddressDirectory, NetworkStatus, ObjectExchange, Signer},
    signed::Signed,
};
use dm_testing::{objects::SampleObject, signer::TestSigner};

use crate::common::{Node, start_changed, start_plain};

async fn bootstrap_node() -> Node {
    start_changed(Vec::new(), |network| {
        network.bootstrap_only = true;
        network.peer_exchange_interval_secs = 1;
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_tells_of_nodes_that_are_gone_to_those_that_come_later() {
    let bootstrap = bootstrap_node().await;
    let gone = start_plain(vec![bootstrap.address()]).await;
    let signer = TestSigner::new(1);
    let record = AddressRecord::new(signer.address(), [1; 32], gone.p2p.local_peer_id(), 1);
    let record = Signed::sign(record, &signer).unwrap();
    gone.knows_peers(1).await;
    gone.p2p.announce(record.clone().into()).await.unwrap();
    while bootstrap
        .p2p
        .find_address(record.address)
        .await
        .unwrap()
        .is_none()
    {
        tokio::task::yield_now().await;
    }
    gone.stop().await;
    let later = start_plain(vec![bootstrap.address()]).await;
    later.knows_peers(1).await;
    assert_eq!(
        later.p2p.find_address(record.address).await.unwrap(),
        Some(record)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_takes_no_object_and_those_that_it_introduced_take_it() {
    let bootstrap = bootstrap_node().await;
    let owner = start_plain(vec![bootstrap.address()]).await;
    owner.knows_peers(1).await;
    let object = SampleObject::new(1, 7, 1000);
    object.store_in(&*owner.store).await.unwrap();
    let report = owner.p2p.push(&object.id(), 1).await.unwrap();
    assert!(report.holders.is_empty());
    let other = start_plain(vec![bootstrap.address()]).await;
    // They have met through the node that both know.
    owner.has_active_peers(2).await;
    other.has_active_peers(2).await;
    let report = owner.p2p.push(&object.id(), 2).await.unwrap();
    assert_eq!(report.holders, [other.p2p.local_peer_id()]);
    assert!(other.store.envelope(&object.id()).await.unwrap().is_some());
    assert!(bootstrap.store.envelope(&object.id()).await.unwrap().is_none());
}
