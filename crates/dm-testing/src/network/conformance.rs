//! What every network promises; `network_conformance!` makes the tests.

use std::{future::Future, sync::Arc};

use alloy_primitives::Address;
use dm_core::{
    address_record::{AddressRecord, Announcement, SignedAddressRecord},
    envelope::CHUNK_SIZE,
    hash::DataHash,
    ports::{FetchError, Found, Network, NetworkError, ObjectStore, Signer},
    signed::Signed,
    trace::Trace,
};
use futures::TryStreamExt;

use super::LyingStore;
use crate::{
    objects::{MemoryObjectStore, SampleObject},
    signer::TestSigner,
};

/// Makes one test for every promise of [`Network`]. Takes the name of an async
/// function that starts one node for each of the given stores, waits until
/// each is connected with all others, and returns
/// `(Vec<Arc<dyn Network>>, guard)`; the guard lives until the test ends.
#[macro_export]
macro_rules! network_conformance {
    ($open:path) => {
        $crate::network_conformance!($open:
            the_newest_address_record_is_found,
            an_address_record_names_the_peers_of_all_instances,
            a_forged_address_record_is_not_found,
            an_unknown_address_is_not_found,
            a_pushed_object_is_found_and_fetched_by_others,
            an_object_is_found_where_it_was_only_stored,
            fewer_peers_than_copies_is_no_error,
            a_node_alone_finds_and_pushes_nothing,
            what_nobody_has_is_not_found,
            pushing_what_is_not_stored_is_an_error,
            a_newer_envelope_reaches_the_holders,
            an_older_envelope_is_refused,
            two_owners_under_one_locator_are_both_found,
            a_lying_holder_delivers_nothing,
            beside_a_liar_an_honest_holder_delivers,
            peers_are_listed,
        );
    };
    ($open:path: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::network::$promise($open).await;
            }
        )*
    };
}

type Store = Arc<dyn ObjectStore>;
type Nodes<Guard> = (Vec<Arc<dyn Network>>, Guard);

fn stores(count: usize) -> Vec<Store> {
    (0..count)
        .map(|_| Arc::new(MemoryObjectStore::new()) as Store)
        .collect()
}

fn record(account: u8, sequence: u64, node: &Arc<dyn Network>) -> SignedAddressRecord {
    let signer = TestSigner::new(account);
    let record = AddressRecord::new(
        signer.address(),
        [sequence as u8; 32],
        node.local_peer_id(),
        sequence,
    );
    Signed::sign(record, &signer).unwrap()
}

async fn find_one(node: &Arc<dyn Network>, object: &SampleObject) -> Found {
    let mut found = node
        .find(&object.id().locator, &[], &Trace::default())
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

async fn assert_fetches(node: &Arc<dyn Network>, object: &SampleObject, found: &Found) {
    let chunks: Vec<_> = node
        .fetch(found, 0, &Trace::default())
        .try_collect()
        .await
        .unwrap();
    assert!(chunks == object.chunks, "{} bytes", object.envelope.size);
}

/// Of two records the one with the higher number is found, from every node.
pub async fn the_newest_address_record_is_found<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (nodes, _guard) = open(stores(3)).await;
    let newest = record(1, 2, &nodes[0]);
    nodes[0].announce(record(1, 1, &nodes[0]).into()).await.unwrap();
    nodes[0].announce(newest.clone().into()).await.unwrap();
    nodes[1].announce(record(1, 1, &nodes[1]).into()).await.unwrap();
    for asker in [2, 0] {
        let found = nodes[asker].find_address(newest.address).await.unwrap();
        assert_eq!(found.as_ref(), Some(&newest));
    }
}

/// Each instance of a node announces a record of them all; the newest one is found, from every
/// node, and the one that names its announcer alone is never found in its place.
pub async fn an_address_record_names_the_peers_of_all_instances<Opened, Guard>(
    open: impl FnOnce(Vec<Store>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (nodes, _guard) = open(stores(3)).await;
    let of_both = |first: usize, second: usize, sequence| {
        let alone = record(1, sequence, &nodes[first]);
        let together = AddressRecord {
            sequence: sequence + 1,
            further_peers: vec![nodes[second].local_peer_id()],
            ..alone.statement().clone()
        };
        let together = Some(Signed::sign(together, &TestSigner::new(1)).unwrap());
        Announcement { alone, together }
    };
    let (earlier, later) = (of_both(0, 1, 1), of_both(1, 0, 5));
    for round in 0..2 {
        nodes[0].announce(earlier.clone()).await.unwrap();
        nodes[1].announce(later.clone()).await.unwrap();
        for asker in [2, 1, 0] {
            let found = nodes[asker].find_address(later.alone.address).await.unwrap();
            assert_eq!(found, later.together, "round {round}");
        }
    }
}

/// A record with a wrong signature convinces nobody.
pub async fn a_forged_address_record_is_not_found<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (nodes, _guard) = open(stores(3)).await;
    nodes[0].announce(record(1, 1, &nodes[0]).into()).await.unwrap();
    let mut bytes = record(2, 9, &nodes[1]).bytes().to_vec();
    bytes[3] ^= 1;
    let forged: SignedAddressRecord = Signed::from_trusted(bytes.into()).unwrap();
    let address = forged.address;
    nodes[1].announce(forged.into()).await.unwrap();
    assert_eq!(nodes[2].find_address(address).await.unwrap(), None);
}

/// Nobody announced it, so nobody finds it.
pub async fn an_unknown_address_is_not_found<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (nodes, _guard) = open(stores(2)).await;
    assert_eq!(
        nodes[0].find_address(Address::repeat_byte(9)).await.unwrap(),
        None
    );
}

/// What is pushed survives the node that pushed it, for objects of any size.
pub async fn a_pushed_object_is_found_and_fetched_by_others<Opened, Guard>(
    open: impl FnOnce(Vec<Store>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(3);
    let (nodes, _guard) = open(stores.clone()).await;
    for (seed, size) in (0..).zip([1, 1024, CHUNK_SIZE, CHUNK_SIZE + 1, 20 * CHUNK_SIZE + 5]) {
        let object = SampleObject::new(1, seed, size);
        object.store_in(&*stores[0]).await.unwrap();
        let report = nodes[0].push(&object.id(), 1).await.unwrap();
        assert_eq!(report.holders.len(), 1, "{size} bytes");
        stores[0].remove(&object.id()).await.unwrap();
        let holder = if report.holders[0] == nodes[1].local_peer_id() {
            1
        } else {
            2
        };
        assert!(object.is_in(&*stores[holder]).await);
        let reader = &nodes[3 - holder];
        let found = find_one(reader, &object).await;
        assert_eq!(found.envelope, object.envelope);
        assert_eq!(found.holders, report.holders);
        assert_fetches(reader, &object, &found).await;
    }
}

/// A connected peer is asked although nothing was announced.
pub async fn an_object_is_found_where_it_was_only_stored<Opened, Guard>(
    open: impl FnOnce(Vec<Store>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(2);
    let (nodes, _guard) = open(stores.clone()).await;
    let object = SampleObject::new(1, 7, 1000);
    object.store_in(&*stores[1]).await.unwrap();
    let found = find_one(&nodes[0], &object).await;
    assert_fetches(&nodes[0], &object, &found).await;
}

/// With two other nodes there are two copies, whatever was asked for.
pub async fn fewer_peers_than_copies_is_no_error<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(3);
    let (nodes, _guard) = open(stores.clone()).await;
    let object = SampleObject::new(1, 7, 1000);
    object.store_in(&*stores[0]).await.unwrap();
    for _ in 0..2 {
        let report = nodes[0].push(&object.id(), 5).await.unwrap();
        assert_eq!(report.holders.len(), 2, "pushed again, the copies still count");
    }
    assert!(object.is_in(&*stores[1]).await);
    assert!(object.is_in(&*stores[2]).await);
}

/// Being alone is no error.
pub async fn a_node_alone_finds_and_pushes_nothing<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(1);
    let (nodes, _guard) = open(stores.clone()).await;
    let object = SampleObject::new(1, 7, 1000);
    object.store_in(&*stores[0]).await.unwrap();
    assert!(nodes[0].push(&object.id(), 3).await.unwrap().holders.is_empty());
    assert!(
        nodes[0]
            .find(&object.id().locator, &[], &Trace::default())
            .await
            .unwrap()
            .is_empty()
    );
    nodes[0].announce(record(1, 1, &nodes[0]).into()).await.unwrap();
    assert!(nodes[0].is_running());
}

/// Looking for what nobody has ends with nothing.
pub async fn what_nobody_has_is_not_found<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (nodes, _guard) = open(stores(3)).await;
    assert!(
        nodes[0]
            .find(&DataHash::of(b"nothing").locator(), &[], &Trace::default())
            .await
            .unwrap()
            .is_empty()
    );
}

/// There is nothing to push.
pub async fn pushing_what_is_not_stored_is_an_error<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (nodes, _guard) = open(stores(2)).await;
    let missing = SampleObject::new(1, 7, 10).id();
    assert!(matches!(
        nodes[0].push(&missing, 1).await,
        Err(NetworkError::Local(_))
    ));
}

/// A new envelope over the same chunks replaces the old one where it is held.
pub async fn a_newer_envelope_reaches_the_holders<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(2);
    let (nodes, _guard) = open(stores.clone()).await;
    let object = SampleObject::new(1, 7, 1000);
    object.store_in(&*stores[0]).await.unwrap();
    nodes[0].push(&object.id(), 1).await.unwrap();
    let newer = object.envelope_with_sequence(1, 2);
    assert!(stores[0].replace_envelope(&newer).await.unwrap());
    assert_eq!(nodes[0].push(&object.id(), 1).await.unwrap().holders.len(), 1);
    assert_eq!(stores[1].envelope(&object.id()).await.unwrap(), Some(newer));
}

/// An old envelope does not replace a newer one, and its holder does not count.
pub async fn an_older_envelope_is_refused<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(2);
    let (nodes, _guard) = open(stores.clone()).await;
    let object = SampleObject::new(1, 7, 1000);
    let newer = object.envelope_with_sequence(1, 5);
    object.store_in(&*stores[0]).await.unwrap();
    object.store_under(&*stores[1], &newer).await.unwrap();
    assert!(nodes[0].push(&object.id(), 1).await.unwrap().holders.is_empty());
    assert_eq!(stores[1].envelope(&object.id()).await.unwrap(), Some(newer));
}

/// The same data shared by two accounts is two objects.
pub async fn two_owners_under_one_locator_are_both_found<Opened, Guard>(
    open: impl FnOnce(Vec<Store>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(3);
    let (nodes, _guard) = open(stores.clone()).await;
    let objects = [SampleObject::new(1, 7, 1000), SampleObject::new(2, 7, 1000)];
    objects[0].store_in(&*stores[0]).await.unwrap();
    objects[1].store_in(&*stores[1]).await.unwrap();
    let found = nodes[2]
        .find(&objects[0].id().locator, &[], &Trace::default())
        .await
        .unwrap();
    assert_eq!(found.len(), 2);
    for object in objects {
        assert!(found.iter().any(|found| found.envelope == object.envelope));
        let (id, trace) = (object.id(), Trace::default());
        let named = nodes[2].find(&id.locator, &[id.owner], &trace).await.unwrap();
        assert_eq!(named[0].envelope, object.envelope, "who is named comes first");
    }
}

/// Wrong bytes are never handed to the reader, even where nobody has the right ones.
pub async fn a_lying_holder_delivers_nothing<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let mut stores = stores(2);
    let object = SampleObject::new(1, 7, 3 * CHUNK_SIZE);
    object.store_in(&*stores[1]).await.unwrap();
    stores[1] = Arc::new(LyingStore::new(stores[1].clone()));
    let (nodes, _guard) = open(stores).await;
    let found = find_one(&nodes[0], &object).await;
    let fetched: Result<Vec<_>, _> = nodes[0].fetch(&found, 0, &Trace::default()).try_collect().await;
    assert!(matches!(fetched, Err(FetchError::NoHolder(_))));
}

/// A liar among the holders does not keep the object from its reader.
pub async fn beside_a_liar_an_honest_holder_delivers<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let mut stores = stores(3);
    let object = SampleObject::new(1, 7, 30 * CHUNK_SIZE + 1);
    object.store_in(&*stores[1]).await.unwrap();
    object.store_in(&*stores[2]).await.unwrap();
    stores[1] = Arc::new(LyingStore::new(stores[1].clone()));
    let (nodes, _guard) = open(stores).await;
    let honest = Found {
        envelope: object.envelope.clone(),
        holders: vec![nodes[1].local_peer_id(), nodes[2].local_peer_id()],
    };
    assert_fetches(&nodes[0], &object, &honest).await;
}

/// Everybody who is connected stands in the peer book.
pub async fn peers_are_listed<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (nodes, _guard) = open(stores(3)).await;
    let mut listed: Vec<String> = nodes[0]
        .peers()
        .into_iter()
        .map(|peer| peer.record.peer_id)
        .collect();
    listed.sort();
    let mut expected = vec![nodes[1].local_peer_id(), nodes[2].local_peer_id()];
    expected.sort();
    assert_eq!(listed, expected);
    assert_eq!(nodes[0].stats().active_peers, 2);
    assert!(!nodes[0].listen_addresses().is_empty());
}
