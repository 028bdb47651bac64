//! What every adapter of [`Replication`] promises; `replication_conformance!`
//! makes the tests.

use std::{future::Future, sync::Arc};

use dm_core::ports::{Challenged, Network, NetworkError, ObjectStore, Replication};

use super::LyingStore;
use crate::objects::{MemoryObjectStore, SampleObject};

/// A node that finds, fetches and spreads objects, and looks after their copies.
pub trait Replicator: Network + Replication {}

impl<T: Network + Replication> Replicator for T {}

/// Makes one test for every promise of [`Replication`]. Takes the name of an
/// async function that starts one node for each of the given stores, waits
/// until each is connected with all others, and returns
/// `(Vec<Arc<dyn Replicator>>, guard)`; the guard lives until the test ends.
#[macro_export]
macro_rules! replication_conformance {
    ($open:path) => {
        $crate::network_conformance!($open:
            a_holder_proves_its_copy,
            who_has_no_copy_cannot_prove_one,
            a_holder_of_other_bytes_is_found_out,
            nobody_answers_for_a_peer_that_does_not_exist,
            what_is_not_stored_here_cannot_be_checked,
            copies_are_placed_past_those_to_avoid,
            holders_are_searched,
            who_receives_a_copy_learns_where_it_came_from,
            a_challenge_tells_of_further_holders,
            a_challenge_brings_the_newer_envelope_to_the_other_side,
            connected_peers_are_reachable,
        );
    };
}

type Store = Arc<dyn ObjectStore>;
type Nodes<Guard> = (Vec<Arc<dyn Replicator>>, Guard);

fn stores(count: usize) -> Vec<Store> {
    (0..count)
        .map(|_| Arc::new(MemoryObjectStore::new()) as Store)
        .collect()
}

fn object() -> SampleObject {
    SampleObject::new(1, 7, 700_000)
}

/// Who has the bytes can prove it, again and again.
pub async fn a_holder_proves_its_copy<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(2);
    for store in &stores {
        object().store_in(&**store).await.unwrap();
    }
    let (nodes, _guard) = open(stores).await;
    let peer = nodes[1].local_peer_id();
    for _ in 0..3 {
        let challenged = nodes[0].challenge(&peer, &object().id(), &[]).await;
        assert_eq!(challenged, Ok(Challenged::Proven));
    }
}

/// Neither who has nothing nor who has another version of the object.
pub async fn who_has_no_copy_cannot_prove_one<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(3);
    object().store_in(&*stores[0]).await.unwrap();
    let other = SampleObject {
        envelope: SampleObject::sign(1, 7, 500, &[SampleObject::chunk(9, 0, 500)], 5),
        chunks: vec![SampleObject::chunk(9, 0, 500)],
    };
    other.store_in(&*stores[2]).await.unwrap();
    let (nodes, _guard) = open(stores).await;
    for node in &nodes[1..] {
        let peer = node.local_peer_id();
        let challenged = nodes[0].challenge(&peer, &object().id(), &[]).await;
        assert_eq!(challenged, Ok(Challenged::Missing));
    }
}

/// A claim is no proof.
pub async fn a_holder_of_other_bytes_is_found_out<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let honest = MemoryObjectStore::new();
    object().store_in(&honest).await.unwrap();
    let liar = LyingStore::new(Arc::new(honest.clone()));
    let (nodes, _guard) = open(vec![Arc::new(honest), Arc::new(liar)]).await;
    let peer = nodes[1].local_peer_id();
    let challenged = nodes[0].challenge(&peer, &object().id(), &[]).await;
    assert_eq!(challenged, Ok(Challenged::Wrong));
}

/// Silence is told from a denial.
pub async fn nobody_answers_for_a_peer_that_does_not_exist<Opened, Guard>(
    open: impl FnOnce(Vec<Store>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(2);
    object().store_in(&*stores[0]).await.unwrap();
    let (nodes, _guard) = open(stores).await;
    let challenged = nodes[0].challenge("nobody", &object().id(), &[]).await;
    assert_eq!(challenged, Ok(Challenged::Silent));
}

/// Only who has the bytes can check the answers of others.
pub async fn what_is_not_stored_here_cannot_be_checked<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (nodes, _guard) = open(stores(2)).await;
    let peer = nodes[1].local_peer_id();
    let challenged = nodes[0].challenge(&peer, &object().id(), &[]).await;
    assert!(matches!(challenged, Err(NetworkError::Local(_))));
    let placed = nodes[0].place(&object().id(), 1, &[]).await;
    assert!(matches!(placed, Err(NetworkError::Local(_))));
}

/// A replica makes copies, and none where it shall not.
pub async fn copies_are_placed_past_those_to_avoid<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(4);
    object().store_in(&*stores[0]).await.unwrap();
    let (nodes, _guard) = open(stores.clone()).await;
    let avoid = [nodes[1].local_peer_id(), nodes[2].local_peer_id()];
    let placed = nodes[0].place(&object().id(), 3, &avoid).await.unwrap();
    assert_eq!(placed.holders, [nodes[3].local_peer_id()]);
    assert!(object().is_in(&*stores[3]).await);
    assert!(!object().is_in(&*stores[1]).await && !object().is_in(&*stores[2]).await);
}

/// Those who say that they hold the object, and nobody else.
pub async fn holders_are_searched<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(4);
    for store in &stores[..3] {
        object().store_in(&**store).await.unwrap();
    }
    let (nodes, _guard) = open(stores).await;
    let mut found = nodes[0].search(&object().id()).await.unwrap();
    found.sort();
    let mut expected = [nodes[1].local_peer_id(), nodes[2].local_peer_id()];
    expected.sort();
    assert_eq!(found, expected);
    let unknown = SampleObject::new(1, 8, 10).id();
    assert_eq!(nodes[0].search(&unknown).await, Ok(vec![]));
}

/// Both sides of a transfer know of each other's copy.
pub async fn who_receives_a_copy_learns_where_it_came_from<Opened, Guard>(
    open: impl FnOnce(Vec<Store>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(2);
    object().store_in(&*stores[0]).await.unwrap();
    let (nodes, _guard) = open(stores).await;
    nodes[0].push(&object().id(), 1).await.unwrap();
    for (node, other) in [(0, 1), (1, 0)] {
        let news = nodes[node].next_news().await;
        assert_eq!(news.object, object().id());
        assert_eq!(news.holders, [nodes[other].local_peer_id()]);
    }
}

/// Holders learn of each other through those who challenge them.
pub async fn a_challenge_tells_of_further_holders<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(3);
    for store in &stores {
        object().store_in(&**store).await.unwrap();
    }
    let (nodes, _guard) = open(stores).await;
    let (asked, third) = (nodes[1].local_peer_id(), nodes[2].local_peer_id());
    let known = [asked.clone(), third.clone()];
    nodes[0].challenge(&asked, &object().id(), &known).await.unwrap();
    let news = nodes[1].next_news().await;
    assert_eq!(news.object, object().id());
    assert!(news.holders.contains(&third) && news.holders.contains(&nodes[0].local_peer_id()));
}

/// Grants that were made while a holder was away reach it.
pub async fn a_challenge_brings_the_newer_envelope_to_the_other_side<Opened, Guard>(
    open: impl FnOnce(Vec<Store>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let stores = stores(2);
    for store in &stores {
        object().store_in(&**store).await.unwrap();
    }
    let (nodes, _guard) = open(stores.clone()).await;
    let peer = nodes[1].local_peer_id();
    let sequence = async |store: &Store| store.envelope(&object().id()).await.unwrap().unwrap().sequence;
    for (newer, older, number) in [(0, 1, 2), (1, 0, 3)] {
        let envelope = object().envelope_with_sequence(1, number);
        assert!(stores[newer].replace_envelope(&envelope).await.unwrap());
        let challenged = nodes[0].challenge(&peer, &object().id(), &[]).await;
        assert_eq!(challenged, Ok(Challenged::Proven));
        assert_eq!(sequence(&stores[older]).await, number);
    }
}

/// All of them, and not the node itself.
pub async fn connected_peers_are_reachable<Opened, Guard>(open: impl FnOnce(Vec<Store>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (nodes, _guard) = open(stores(3)).await;
    let reachable = nodes[0].reachable();
    assert_eq!(reachable.len(), 2);
    assert!(reachable.contains(&nodes[1].local_peer_id()) && reachable.contains(&nodes[2].local_peer_id()));
}
