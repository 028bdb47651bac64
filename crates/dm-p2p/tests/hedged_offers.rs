//! A share does not wait for peers that do not answer, or do not take what they wanted.

use dm_core::{
    envelope::CHUNK_SIZE,
    ports::{NetworkStatus, ObjectExchange},
};
use dm_testing::{
    objects::SampleObject,
    waiting::{PATIENCE, eventually},
};

use crate::common::{
    Node,
    script::{self, Lie, Part, Scripted},
    start_changed, start_plain,
};

const LIARS: usize = 6;
const HONEST: usize = 3;

/// A node that would wait long for an answer, with honest peers and liars.
async fn among_liars(lie: Lie) -> (Node, Vec<Node>, Vec<Scripted>) {
    let node = start_changed(Vec::new(), |network| network.request_timeout_secs = 600).await;
    let (mut liars, mut honest) = (Vec::new(), Vec::new());
    for _ in 0..LIARS {
        liars.push(script::connect_as(&node.address(), lie, None, Part::default()).await);
    }
    for _ in 0..HONEST {
        honest.push(start_plain(vec![node.address()]).await);
    }
    eventually("all are connected", async || {
        (node.p2p.stats().active_peers == (LIARS + HONEST) as u64).then_some(())
    })
    .await;
    (node, honest, liars)
}

/// Shares objects; each gets as many copies as there are honest peers.
async fn all_shares_are_complete(lie: Lie, size: u64) {
    let (node, honest, _liars) = among_liars(lie).await;
    for seed in 0..3 {
        let object = SampleObject::new(1, seed, size);
        object.store_in(&*node.store).await.unwrap();
        let pushed = tokio::time::timeout(PATIENCE, node.p2p.push(&object.id(), HONEST)).await;
        assert_eq!(
            pushed.expect("it waits for no liar").unwrap().holders.len(),
            HONEST
        );
        for holder in &honest {
            assert!(object.is_in(&*holder.store).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_an_offer_holds_up_no_share() {
    all_shares_are_complete(Lie::Stalls, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_an_object_and_takes_nothing_of_it_holds_up_no_share() {
    all_shares_are_complete(Lie::WithholdsChunks, 4 * CHUNK_SIZE).await;
}
