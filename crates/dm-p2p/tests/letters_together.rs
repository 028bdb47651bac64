//! Letters that travel together: one request to a peer, and each of them judged by itself.

use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use dm_core::{
    Address,
    clock::now_ms,
    letter::Letter,
    notice::{Notice, SignedNotice},
    ports::{NetworkStatus, NoticeNetwork, Signer},
    signed::Signed,
};
use dm_testing::{objects::SampleObject, signer::TestSigner, waiting::eventually};
use futures::{AsyncReadExt, StreamExt};
use libp2p::Stream;

use crate::common::{
    Node,
    letters::{
        Kind, Organisation, Outcome, Refusal, Reply, Request, SECOND, THIRD, notice, notice_of, open_as,
        status,
    },
    script::{self, Lie, Scripted, receive, send, send_bytes},
};

/// By account 2, about one of its objects.
fn notice_about(seed: u64, recipient: Address) -> SignedNotice {
    let about_another = Notice {
        object: SampleObject::new(2, seed, 1).id(),
        ..notice(2, recipient).statement().clone()
    };
    Signed::sign(about_another, &TestSigner::new(2)).unwrap()
}

async fn put_all(peer: &mut Scripted, node: &Node, notices: &[Bytes]) -> Option<Reply> {
    let mut stream = open_as(peer, node, THIRD).await;
    let described = notices.iter().map(|notice| (Kind::Notice, notice.len() as u16));
    let letters = described.collect();
    send(&mut stream, &Request::PutAll { letters }).await;
    send_bytes(&mut stream, &notices.concat()).await;
    receive(&mut stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_letters_to_one_peer_are_a_few_requests() {
    let recipient = Organisation::start(1, &[]).await;
    let sender = Organisation::start(2, &[&recipient]).await;
    recipient.announce().await;
    let address = recipient.signer.address();
    let letters: Vec<Letter> = (0..150).map(|seed| notice_about(seed, address).into()).collect();
    let first = std::slice::from_ref(&letters[0]);
    assert!(sender.node.p2p.send_all(first).await.unwrap()[0].delivered);
    let before = recipient.inbox.came().len();
    let reports = sender.node.p2p.send_all(&letters).await.unwrap();
    assert_eq!(reports.iter().filter(|report| report.delivered).count(), 150);
    assert_eq!(recipient.inbox.came()[before..], [64, 64, 22]);
}

/// As a peer that knows only single letters, of three each time.
async fn take_all_but_the_second(mut stream: Stream) {
    let mut brought: u32 = 0;
    while let Some(request) = receive::<Request>(&mut stream).await {
        let Request::Put { len } = request else {
            panic!("{request:?} is of a later version");
        };
        let mut letter = vec![0; len as usize];
        stream.read_exact(&mut letter).await.unwrap();
        brought += 1;
        let answer = match brought % 3 {
            2 => Reply::Refused(Refusal::Full),
            _ => Reply::Kept,
        };
        send(&mut stream, &answer).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_an_earlier_version_is_brought_one_letter_after_the_other() {
    let sender = Organisation::start(2, &[]).await;
    let mut old = script::connect(&sender.node.address(), Lie::None, None).await;
    sender.node.has_active_peers(1).await;
    let mut incoming = old.control.accept(SECOND).unwrap();
    let answering = tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            tokio::spawn(take_all_but_the_second(stream));
        }
    });
    let account = AtomicU8::new(10);
    eventually("the peer keeps two of three letters", async || {
        // Of an account of which nobody knows where it is. Who keeps its letters is remembered,
        // also where the peer is not in the routing table yet.
        let nobody = Address::repeat_byte(account.fetch_add(1, Ordering::Relaxed));
        let letters: Vec<Letter> = (0..3).map(|seed| notice_about(seed, nobody).into()).collect();
        let reports = sender.node.p2p.send_all(&letters).await.unwrap();
        let kept: Vec<usize> = reports.iter().map(|report| report.kept).collect();
        (kept == [1, 0, 1]).then_some(())
    })
    .await;
    answering.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_letters_that_come_together_each_is_judged_by_itself() {
    let node = Organisation::start(1, &[]).await;
    let mut peer = script::connect(&node.node.address(), Lie::None, None).await;
    let (own, now, hour) = (node.signer.address(), now_ms(), 3_600_000);
    let (good, elsewhere) = (notice_about(1, own), notice_about(2, Address::repeat_byte(9)));
    let mut forged = notice_about(3, own).bytes().to_vec();
    forged[10] ^= 1;
    let mut later = notice_about(4, own).bytes().to_vec();
    later[65] = 9;
    let ended = notice_of(2, own, now - 2 * hour, now - hour);
    let last = notice_about(5, own);
    let brought = [
        good.bytes().clone(),
        elsewhere.bytes().clone(),
        forged.into(),
        later.into(),
        ended.bytes().clone(),
        good.bytes().clone(),
        last.bytes().clone(),
    ];
    let outcomes = vec![
        Outcome::Delivered,
        Outcome::Kept,
        Outcome::Refused(Refusal::Invalid),
        Outcome::Unsupported,
        Outcome::Refused(Refusal::NotCurrent),
        Outcome::Delivered,
        Outcome::Delivered,
    ];
    let answer = put_all(&mut peer, &node.node, &brought).await;
    assert_eq!(answer, Some(Reply::Outcomes { outcomes }));
    let expected: [Letter; 3] = [good.clone().into(), good.into(), last.into()];
    assert_eq!(node.inbox.taken(), expected);
    eventually("the forgery is held against the peer", async || {
        (status(&node.node, &peer)?.standing.score > 0).then_some(())
    })
    .await;
    assert_eq!(node.node.p2p.stats().not_understood, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hides_forged_letters_among_good_ones_is_ignored() {
    let node = Organisation::start(1, &[]).await;
    let mut liar = script::connect(&node.node.address(), Lie::None, None).await;
    let good = notice_about(1, node.signer.address());
    for seed in 2..5 {
        let mut forged = notice_about(seed, node.signer.address()).bytes().to_vec();
        forged[10] ^= 1;
        let mut letters = vec![good.bytes().clone(); 63];
        letters.push(forged.into());
        put_all(&mut liar, &node.node, &letters).await;
    }
    eventually("the liar is banned", async || {
        let status = status(&node.node, &liar)?;
        (status.standing.banned_until.is_some() && !status.connected).then_some(())
    })
    .await;
    let good: Letter = good.into();
    assert!(node.inbox.taken().iter().all(|letter| *letter == good));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_or_enormous_letters_end_the_stream_before_memory_is_set_aside() {
    let node = Organisation::start(1, &[]).await;
    let mut peer = script::connect(&node.node.address(), Lie::None, None).await;
    let one_too_many = vec![(Kind::Notice, 300); 65];
    let enormous = vec![(Kind::Acknowledgement, u16::MAX)];
    for letters in [one_too_many, enormous] {
        let mut stream = open_as(&mut peer, &node.node, THIRD).await;
        send(&mut stream, &Request::PutAll { letters }).await;
        assert_eq!(receive::<Reply>(&mut stream).await, None);
    }
    // A million letters, of which the message says nothing more: kind 3, and the number.
    let mut stream = open_as(&mut peer, &node.node, THIRD).await;
    send_bytes(&mut stream, &[0, 4, 3, 0xC0, 0x84, 0x3D]).await;
    assert_eq!(receive::<Reply>(&mut stream).await, None);
    assert!(node.inbox.came().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_together_are_unknown_on_a_stream_of_the_second_version() {
    let node = Organisation::start(1, &[]).await;
    let mut peer = script::connect(&node.node.address(), Lie::None, None).await;
    let mut stream = open_as(&mut peer, &node.node, SECOND).await;
    let letters = vec![(Kind::Notice, 300)];
    send(&mut stream, &Request::PutAll { letters }).await;
    assert_eq!(receive(&mut stream).await, Some(Reply::Unsupported));
    assert_eq!(status(&node.node, &peer).unwrap().standing.score, 0);
}
