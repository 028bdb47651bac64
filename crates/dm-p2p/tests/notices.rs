//! Notices reach their recipients, also such as were away, and a hostile peer gains nothing.

use bytes::Bytes;
use dm_core::{
    Address,
    address_record::AddressRecord,
    clock::now_ms,
    letter::Letter,
    notice::Notice,
    ports::{NetworkStatus, NoticeNetwork, ObjectExchange, Signer},
    signed::Signed,
    trace::Trace,
};
use dm_p2p::Identity;
use dm_testing::{objects::SampleObject, signer::TestSigner, waiting::eventually};

use crate::common::{
    letters::{Organisation, Refusal, Reply, Request, collect, notice, notice_of, open, put, status},
    script::{self, Lie, receive, send, send_bytes},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_reaches_the_peer_of_its_recipient() {
    let recipient = Organisation::start(1, &[]).await;
    let sender = Organisation::start(2, &[&recipient]).await;
    recipient.announce().await;
    let notice = notice(2, recipient.signer.address()).into();
    let report = sender.node.p2p.send(&notice).await.unwrap();
    assert!(report.delivered);
    assert!(recipient.inbox.taken().contains(&notice));
    // Again is harmless.
    assert!(sender.node.p2p.send(&notice).await.unwrap().delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_was_away_collects_the_notice_of_a_sender_that_is_gone() {
    let keeper = Organisation::start(1, &[]).await;
    let other = Organisation::start(2, &[&keeper]).await;
    let sender = Organisation::start(3, &[&keeper, &other]).await;
    let address = TestSigner::new(4).address();
    let notice = notice(3, address).into();
    let report = sender.node.p2p.send(&notice).await.unwrap();
    assert_eq!((report.delivered, report.kept), (false, 2));
    sender.node.stop().await;

    let recipient = Organisation::start(4, &[&keeper, &other]).await;
    assert!(
        recipient.node.p2p.collect(&[]).await.unwrap().is_empty(),
        "it has no record yet"
    );
    recipient.announce().await;
    let collected = recipient.node.p2p.collect(&[]).await.unwrap();
    assert_eq!(collected, [notice]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_letters_at_once_are_all_taken_on_a_few_streams() {
    let recipient = Organisation::start(1, &[]).await;
    let sender = Organisation::start(2, &[&recipient]).await;
    recipient.announce().await;
    let address = recipient.signer.address();
    let letters: Vec<Letter> = (0..200).map(|seed| notice_about(seed, address)).collect();
    let sent = letters.iter().map(|letter| sender.node.p2p.send(letter));
    for report in futures::future::join_all(sent).await {
        assert!(report.unwrap().delivered);
    }
    assert!(
        letters
            .iter()
            .all(|letter| recipient.inbox.taken().contains(letter))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_tells_of_an_object_is_asked_for_it_before_the_dht_is() {
    let recipient = Organisation::start(1, &[]).await;
    let sender = Organisation::start(2, &[&recipient]).await;
    recipient.announce().await;
    let object = SampleObject::new(2, 1, 1);
    object.store_in(&*sender.node.store).await.unwrap();
    let (locator, trace) = (object.id().locator, Trace::default());
    let known = async || {
        recipient
            .node
            .p2p
            .find_at_known(&locator, &[], &trace)
            .await
            .unwrap()
    };
    assert!(known().await.is_empty());
    let letter = notice_about(1, recipient.signer.address());
    assert!(sender.node.p2p.send(&letter).await.unwrap().delivered);
    assert_eq!(known().await[0].envelope, object.envelope);
}

/// By account 2, about one of its objects.
fn notice_about(seed: u64, recipient: Address) -> Letter {
    let about_another = Notice {
        object: SampleObject::new(2, seed, 1).id(),
        ..notice(2, recipient).statement().clone()
    };
    Signed::sign(about_another, &TestSigner::new(2)).unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_was_not_reached_is_told_as_soon_as_it_is_back() {
    let keeper = Organisation::start(1, &[]).await;
    let sender = Organisation::start(2, &[&keeper]).await;
    let identity = Identity::generate();
    let recipient = Organisation::start_as(3, identity.clone(), &[&keeper, &sender]).await;
    recipient.announce().await;
    let address = recipient.signer.address();
    assert!(
        sender
            .node
            .p2p
            .send(&notice_about(1, address))
            .await
            .unwrap()
            .delivered
    );
    recipient.node.stop().await;
    // All of them find out together that it is away, and are kept.
    let letters: Vec<Letter> = (2..40).map(|seed| notice_about(seed, address)).collect();
    let sent = letters.iter().map(|letter| sender.node.p2p.send(letter));
    for report in futures::future::join_all(sent).await {
        let report = report.unwrap();
        assert_eq!((report.delivered, report.kept), (false, 1));
    }
    let recipient = Organisation::start_as(3, identity, &[&keeper, &sender]).await;
    recipient.announce().await;
    eventually("the sender and the recipient are connected", async || {
        let connected = sender.node.p2p.peers().into_iter().filter(|peer| peer.connected);
        (connected.count() == 2).then_some(())
    })
    .await;
    let letter = notice_about(1, address);
    assert!(sender.node.p2p.send(&letter).await.unwrap().delivered);
    assert!(recipient.inbox.taken().contains(&letter));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_a_thousand_senders_does_not_hide_a_contact_that_was_named() {
    let keeper = Organisation::start(1, &[]).await;
    let recipient = Organisation::start(2, &[&keeper]).await;
    recipient.announce().await;
    let address = recipient.signer.address();
    // The flood is signed beforehand, by keys that cost nothing.
    let contact = notice(3, address);
    recipient.node.p2p.collect(&[contact.sender]).await.unwrap();
    let mut flooder = script::connect(&keeper.node.address(), Lie::None, None).await;
    let mut honest = script::connect(&keeper.node.address(), Lie::None, None).await;
    assert_eq!(
        put(&mut honest, &keeper.node, contact.bytes()).await,
        Some(Reply::Kept)
    );
    let mut stream = open(&mut flooder, &keeper.node).await;
    for seed in 0..1100u64 {
        let signer = TestSigner::new((seed % 200) as u8 + 10);
        let flood = Notice {
            sender: signer.address(),
            object: SampleObject::new(201, seed, 1).id(),
            ..contact.statement().clone()
        };
        let flood = Signed::sign(flood, &signer).unwrap();
        send(
            &mut stream,
            &Request::Put {
                len: flood.bytes().len() as u32,
            },
        )
        .await;
        send_bytes(&mut stream, flood.bytes()).await;
        assert!(receive::<Reply>(&mut stream).await.is_some());
    }
    let collected = recipient.node.p2p.collect(&[contact.sender]).await.unwrap();
    assert_eq!(collected[0], contact.into());
    assert!(collected.len() <= 1024, "{}", collected.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_brings_forged_notices_is_ignored_and_nothing_of_it_is_kept() {
    let keeper = Organisation::start(1, &[]).await;
    let mut liar = script::connect(&keeper.node.address(), Lie::None, None).await;
    for _ in 0..3 {
        let mut forged = notice(2, keeper.signer.address()).bytes().to_vec();
        forged[10] ^= 1;
        put(&mut liar, &keeper.node, &forged.into()).await;
    }
    eventually("the liar is banned", async || {
        let status = status(&keeper.node, &liar)?;
        (status.standing.banned_until.is_some() && !status.connected).then_some(())
    })
    .await;
    assert!(keeper.inbox.taken().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_has_ended_or_is_from_the_future_is_refused_and_not_held_against_anybody() {
    let keeper = Organisation::start(1, &[]).await;
    let mut peer = script::connect(&keeper.node.address(), Lie::None, None).await;
    let now = now_ms();
    let (hour, own) = (3_600_000, keeper.signer.address());
    for _ in 0..5 {
        for wrong in [
            notice_of(2, own, now - 2 * hour, now - hour),
            notice_of(2, own, now + hour, now + 2 * hour),
            notice_of(2, Address::repeat_byte(9), now + hour, now + 2 * hour),
        ] {
            let answer = put(&mut peer, &keeper.node, wrong.bytes()).await;
            assert_eq!(answer, Some(Reply::Refused(Refusal::NotCurrent)));
        }
    }
    assert!(keeper.inbox.taken().is_empty());
    assert_eq!(status(&keeper.node, &peer).unwrap().standing.score, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_or_request_of_a_later_version_is_passed_over() {
    let keeper = Organisation::start(1, &[]).await;
    let mut peer = script::connect(&keeper.node.address(), Lie::None, None).await;
    let mut later = notice(2, keeper.signer.address()).bytes().to_vec();
    later[65] = 9;
    let later: Bytes = later.into();
    for _ in 0..5 {
        assert_eq!(
            put(&mut peer, &keeper.node, &later).await,
            Some(Reply::Unsupported)
        );
        let mut stream = open(&mut peer, &keeper.node).await;
        send_bytes(&mut stream, &[0, 2, 99, 1]).await;
        assert_eq!(receive(&mut stream).await, Some(Reply::Unsupported));
    }
    assert!(keeper.node.p2p.stats().not_understood >= 10);
    assert_eq!(status(&keeper.node, &peer).unwrap().standing.score, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_what_waits_for_another() {
    let keeper = Organisation::start(1, &[]).await;
    let recipient = Organisation::start(2, &[]).await;
    let mut stranger = script::connect(&keeper.node.address(), Lie::None, None).await;
    let waiting = notice(3, recipient.signer.address());
    assert_eq!(
        put(&mut stranger, &keeper.node, waiting.bytes()).await,
        Some(Reply::Kept)
    );
    // The record is genuine, and names another peer.
    let answer = collect(&mut stranger, &keeper.node, &recipient.record()).await;
    assert_eq!(answer, Some(Reply::Refused(Refusal::Invalid)));
    let mine = AddressRecord::new(recipient.signer.address(), [1; 32], stranger.peer.to_base58(), 1);
    let mine = Signed::sign(mine, &recipient.signer).unwrap();
    let Some(Reply::Page { lengths, next: None }) = collect(&mut stranger, &keeper.node, &mine).await else {
        panic!("the peer of the account is told");
    };
    assert_eq!(lengths, [waiting.bytes().len() as u16]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enormous_notice_ends_the_stream_before_memory_is_set_aside() {
    let keeper = Organisation::start(1, &[]).await;
    let mut peer = script::connect(&keeper.node.address(), Lie::None, None).await;
    let mut stream = open(&mut peer, &keeper.node).await;
    send(&mut stream, &Request::Put { len: u32::MAX }).await;
    assert_eq!(receive::<Reply>(&mut stream).await, None);
    let mut stream = open(&mut peer, &keeper.node).await;
    let request = Request::Collect {
        record_len: 10,
        named: u32::MAX,
        after: None,
    };
    send(&mut stream, &request).await;
    assert_eq!(receive::<Reply>(&mut stream).await, None);
}
