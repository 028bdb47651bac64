//! Acknowledgements reach their owners as notices reach their recipients.

use bytes::Bytes;
use dm_core::{
    Address,
    acknowledgement::{Acknowledgement, SignedAcknowledgement},
    address_record::AddressRecord,
    clock::now_ms,
    envelope::ObjectId,
    letter::Letter,
    ports::{NoticeNetwork, Signer},
    signed::Signed,
};
use dm_testing::{objects::SampleObject, signer::TestSigner, waiting::eventually};
use libp2p::StreamProtocol;

use crate::common::{
    Node,
    letters::{
        Kind, Organisation, PROTOCOL, Reply, Request, SECOND, collect, collect_as, notice, open_as, put,
        status,
    },
    script::{self, Lie, Scripted, receive, send, send_bytes},
};

/// That account `recipient` has an object of `owner`.
fn acknowledgement(recipient: u8, owner: Address) -> SignedAcknowledgement {
    let signer = TestSigner::new(recipient);
    let now = now_ms();
    let statement = Acknowledgement {
        recipient: signer.address(),
        object: ObjectId {
            owner,
            ..SampleObject::new(200, 7, 1).id()
        },
        commitment: [7; 32],
        sequence: 1,
        fetched_at: now,
        made_at: now,
    };
    Signed::sign(statement, &signer).unwrap()
}

async fn put_acknowledgement(
    peer: &mut Scripted,
    node: &Node,
    protocol: StreamProtocol,
    bytes: &Bytes,
) -> Option<Reply> {
    let mut stream = open_as(peer, node, protocol).await;
    let len = bytes.len() as u32;
    send(&mut stream, &Request::PutAcknowledgement { len }).await;
    send_bytes(&mut stream, bytes).await;
    receive(&mut stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_reaches_the_peer_of_its_owner_or_waits_for_it() {
    let keeper = Organisation::start(1, &[]).await;
    let recipient = Organisation::start(2, &[&keeper]).await;
    let owner = TestSigner::new(3).address();
    let statement: Letter = acknowledgement(2, owner).into();
    let report = recipient.node.p2p.send(&statement).await.unwrap();
    assert_eq!((report.delivered, report.kept), (false, 1));
    recipient.node.stop().await;
    let owner = Organisation::start(3, &[&keeper]).await;
    owner.announce().await;
    assert_eq!(owner.node.p2p.collect(&[]).await.unwrap(), [statement]);
    let other = Organisation::start(4, &[&keeper, &owner]).await;
    let statement: Letter = acknowledgement(4, owner.signer.address()).into();
    assert!(other.node.p2p.send(&statement).await.unwrap().delivered);
    assert!(owner.inbox.taken().contains(&statement));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_the_first_version_is_given_notices_and_no_acknowledgements() {
    let keeper = Organisation::start(1, &[]).await;
    let mut old = script::connect(&keeper.node.address(), Lie::None, None).await;
    let signer = TestSigner::new(2);
    let record = AddressRecord::new(signer.address(), [1; 32], old.peer.to_base58(), 1);
    let record = Signed::sign(record, &signer).unwrap();
    let (notice, statement) = (notice(3, signer.address()), acknowledgement(3, signer.address()));
    let statement = statement.bytes();
    assert_eq!(
        put(&mut old, &keeper.node, notice.bytes()).await,
        Some(Reply::Kept)
    );
    assert_eq!(
        put_acknowledgement(&mut old, &keeper.node, PROTOCOL, statement).await,
        Some(Reply::Unsupported)
    );
    assert_eq!(
        put_acknowledgement(&mut old, &keeper.node, SECOND, statement).await,
        Some(Reply::Kept)
    );
    let notice_len = notice.bytes().len() as u16;
    let lengths = vec![notice_len];
    assert_eq!(
        collect(&mut old, &keeper.node, &record).await,
        Some(Reply::Page { lengths, next: None })
    );
    let newer = collect_as(&mut old, &keeper.node, &record, SECOND).await;
    let Some(Reply::Letters { letters, next: None }) = newer else {
        panic!("{newer:?}");
    };
    assert_eq!(letters.len(), 2);
    assert!(letters.contains(&(Kind::Notice, notice_len)));
    assert!(letters.contains(&(Kind::Acknowledgement, statement.len() as u16)));
    assert_eq!(status(&keeper.node, &old).unwrap().standing.score, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_brings_forged_acknowledgements_is_ignored_and_nothing_of_it_is_kept() {
    let owner = Organisation::start(1, &[]).await;
    let mut liar = script::connect(&owner.node.address(), Lie::None, None).await;
    for _ in 0..3 {
        let mut forged = acknowledgement(2, owner.signer.address()).bytes().to_vec();
        forged[10] ^= 1;
        put_acknowledgement(&mut liar, &owner.node, SECOND, &forged.into()).await;
    }
    eventually("the liar is banned", async || {
        let status = status(&owner.node, &liar)?;
        (status.standing.banned_until.is_some() && !status.connected).then_some(())
    })
    .await;
    assert!(owner.inbox.taken().is_empty());
}
