//! Letters where somebody is slow, or was away.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use dm_core::{
    envelope::ObjectId,
    letter::Letter,
    news::News,
    ports::{InboxCatalog, KeyValueStore, NetworkStatus, NoticeNetwork, NoticeSink, Signer},
};
use dm_testing::{
    network::{MemoryInbox, MemoryNetwork},
    objects::MemoryObjectStore,
    signer::TestSigner,
    waiting::eventually,
};

use crate::notices::{Owner, announce_as, knows, notice_for, objects, recipient};

/// Never answers.
struct Hanging;

#[async_trait]
impl NoticeSink for Hanging {
    async fn arrived(&self, _: Vec<Letter>) -> Vec<bool> {
        std::future::pending().await
    }
}

/// Takes the first letters for ever, and the others at once.
#[derive(Default)]
struct SlowAtFirst {
    came: Mutex<Vec<Vec<ObjectId>>>,
}

#[async_trait]
impl NoticeSink for SlowAtFirst {
    async fn arrived(&self, letters: Vec<Letter>) -> Vec<bool> {
        let is_first = {
            let mut came = self.came.lock().unwrap();
            came.push(letters.iter().map(Letter::object).collect());
            came.len() == 1
        };
        if is_first {
            std::future::pending::<()>().await;
        }
        vec![true; letters.len()]
    }
}

#[tokio::test]
async fn a_recipient_that_does_not_answer_holds_up_no_other() {
    let network = MemoryNetwork::new();
    let owner = Owner::join(&network);
    let hanging = network.join(Arc::new(MemoryObjectStore::new()));
    let other = TestSigner::new(3).address();
    hanging.take_notices(other, Arc::new(Hanging));
    let running = owner.run().await;
    for n in 0..5 {
        owner.share(n, other, true).await;
    }
    let reader = network.join(Arc::new(MemoryObjectStore::new()));
    let inbox = Arc::new(MemoryInbox::default());
    reader.take_notices(recipient(), inbox.clone());
    let shared = owner.share(5, recipient(), true).await;
    knows(&inbox, 1).await;
    assert_eq!(objects(&inbox), [shared]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_takes_long_holds_up_the_next_one_to_the_same_recipient_for_a_moment_only() {
    let network = MemoryNetwork::new();
    let owner = Owner::join(&network);
    let reader = network.join(Arc::new(MemoryObjectStore::new()));
    let slow = Arc::new(SlowAtFirst::default());
    reader.take_notices(recipient(), slow.clone());
    let running = owner.run().await;
    let first = owner.share(1, recipient(), true).await;
    eventually("the first letter is under way", async || {
        (!slow.came.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    let others = [
        owner.share(2, recipient(), true).await,
        owner.share(3, recipient(), true).await,
    ];
    eventually("the next ones have come", async || {
        let came = slow.came.lock().unwrap();
        (came.concat().len() == 3).then_some(())
    })
    .await;
    let came = slow.came.lock().unwrap().clone();
    assert_eq!(came[0], [first]);
    assert!(others.iter().all(|other| came[1..].concat().contains(other)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_at_peers_is_asked_for_soon_after_the_network_is_back() {
    let network = MemoryNetwork::new();
    let node = Owner::join(&network);
    announce_as(&node.node, &node.signer).await;
    let running = node.run().await;
    // By now it asks every ten minutes.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let sender = network.join(Arc::new(MemoryObjectStore::new()));
    let keeper = network.join(Arc::new(MemoryObjectStore::new()));
    let letter = notice_for(node.signer.address(), 5, 1);
    assert_eq!(sender.send(&letter).await.unwrap().kept, 2);
    let began = tokio::time::Instant::now();
    node.bus.publish(News::PeerConnected {
        peer_id: keeper.local_peer_id(),
    });
    eventually("the letter is collected", async || {
        let arrivals = node.catalog.arrivals(None, 1).await.unwrap();
        (!arrivals.is_empty()).then_some(())
    })
    .await;
    // Of a clock that stands still while anything is done.
    assert!(began.elapsed() < Duration::from_secs(60));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_waits_unprepared_until_a_peer_is_there_to_take_it() {
    let network = MemoryNetwork::new();
    let owner = Owner::join(&network);
    let running = owner.run().await;
    let shared = owner.share(1, recipient(), true).await;
    let letters = eventually("the letter is in the outbox", async || {
        let letters = owner.outbox.scan(b"d", None, 9).await.unwrap();
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    // On a clock that goes as fast as nothing is to be done.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(owner.outbox.scan(b"d", None, 9).await.unwrap(), letters);

    let reader = network.join(Arc::new(MemoryObjectStore::new()));
    let inbox = Arc::new(MemoryInbox::default());
    reader.take_notices(recipient(), inbox.clone());
    knows(&inbox, 1).await;
    assert_eq!(objects(&inbox), [shared]);
    running.stop().await;
}
