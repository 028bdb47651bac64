//! Notices reach their recipients, also such as were away, and a hostile peer gains nothing.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    Address,
    address_record::{AddressRecord, SignedAddressRecord},
    bus::EventBus,
    clock::now_ms,
    notice::{Notice, SignedNotice},
    peer::PeerStatus,
    ports::{AddressDirectory, NetworkStatus, NoticeNetwork, NoticeSink, Signer},
    signed::Signed,
};
use dm_p2p::{Identity, P2pDeps};
use dm_testing::{
    catalog::MemoryCatalog,
    key_value::MemoryKeyValueStore,
    objects::{MemoryObjectStore, SampleObject},
    signer::TestSigner,
    waiting::eventually,
};
use libp2p::{PeerId, Stream, StreamProtocol};
use serde::{Deserialize, Serialize};

use crate::common::{
    Node, config,
    script::{self, Lie, Scripted, receive, send, send_bytes},
    start_with,
};

/// The protocol, a second time from its description.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/datamgmt/notices/1");

type Place = (Address, dm_core::envelope::ObjectId);

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Request {
    Put {
        len: u32,
    },
    Collect {
        record_len: u32,
        named: u32,
        after: Option<Place>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Reply {
    Delivered,
    Kept,
    Refused(Refusal),
    Page { lengths: Vec<u16>, next: Option<Place> },
    Unsupported,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Refusal {
    NotCurrent,
    Full,
    Invalid,
    Failed,
}

/// Remembers what has arrived.
#[derive(Default)]
struct Inbox(Mutex<Vec<SignedNotice>>);

#[async_trait]
impl NoticeSink for Inbox {
    async fn arrived(&self, notice: SignedNotice) -> bool {
        self.0.lock().unwrap().push(notice);
        true
    }
}

impl Inbox {
    fn has(&self, notice: &SignedNotice) -> bool {
        self.0.lock().unwrap().contains(notice)
    }
}

/// A node of an organisation, with its account.
struct Organisation {
    node: Node,
    inbox: Arc<Inbox>,
    signer: TestSigner,
}

impl Organisation {
    async fn start(account: u8, known: &[&Self]) -> Self {
        Self::start_as(account, Identity::generate(), known).await
    }

    async fn start_as(account: u8, identity: Identity, known: &[&Self]) -> Self {
        let initial_peers = known.iter().map(|other| other.node.address()).collect();
        let signer = TestSigner::new(account);
        let mut config = config(identity, initial_peers);
        config.own_address = signer.address();
        let inbox = Arc::new(Inbox::default());
        let deps = P2pDeps {
            notices: Some(Arc::new(MemoryKeyValueStore::new())),
            notice_sink: Some(inbox.clone()),
            ..P2pDeps::new(
                Arc::new(MemoryObjectStore::new()),
                Arc::new(MemoryCatalog::new()),
                EventBus::new(),
            )
        };
        let node = start_with(config, deps).await;
        node.knows_peers(known.len()).await;
        Self { node, inbox, signer }
    }

    fn record(&self) -> SignedAddressRecord {
        let peer = self.node.p2p.local_peer_id();
        let record = AddressRecord::new(self.signer.address(), [1; 32], peer, 1);
        Signed::sign(record, &self.signer).unwrap()
    }

    async fn announce(&self) {
        self.node.p2p.announce(self.record()).await.unwrap();
    }
}

fn notice_of(sender: u8, recipient: Address, made_at: u64, ends_at: u64) -> SignedNotice {
    let signer = TestSigner::new(sender);
    let notice = Notice {
        sender: signer.address(),
        recipient,
        object: SampleObject::new(200, 7, 1).id(),
        sequence: 1,
        made_at,
        ends_at,
    };
    Signed::sign(notice, &signer).unwrap()
}

fn notice(sender: u8, recipient: Address) -> SignedNotice {
    notice_of(sender, recipient, now_ms(), now_ms() + 3_600_000)
}

async fn open(peer: &mut Scripted, node: &Node) -> Stream {
    let node: PeerId = node.p2p.local_peer_id().parse().unwrap();
    peer.control.open_stream(node, PROTOCOL).await.unwrap()
}

async fn put(peer: &mut Scripted, node: &Node, notice: &Bytes) -> Option<Reply> {
    let mut stream = open(peer, node).await;
    let len = notice.len() as u32;
    send(&mut stream, &Request::Put { len }).await;
    send_bytes(&mut stream, notice).await;
    receive(&mut stream).await
}

/// Asks for what waits for the account of a record.
async fn collect(peer: &mut Scripted, node: &Node, record: &SignedAddressRecord) -> Option<Reply> {
    let mut stream = open(peer, node).await;
    let request = Request::Collect {
        record_len: record.bytes().len() as u32,
        named: 0,
        after: None,
    };
    send(&mut stream, &request).await;
    send_bytes(&mut stream, record.bytes()).await;
    receive(&mut stream).await
}

fn status(node: &Node, peer: &Scripted) -> Option<PeerStatus> {
    let mut peers = node.p2p.peers().into_iter();
    peers.find(|status| status.record.peer_id == peer.peer.to_base58())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_reaches_the_peer_of_its_recipient() {
    let recipient = Organisation::start(1, &[]).await;
    let sender = Organisation::start(2, &[&recipient]).await;
    recipient.announce().await;
    let notice = notice(2, recipient.signer.address());
    let report = sender.node.p2p.send(&notice).await.unwrap();
    assert!(report.delivered);
    assert!(recipient.inbox.has(&notice));
    // Again is harmless.
    assert!(sender.node.p2p.send(&notice).await.unwrap().delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_was_away_collects_the_notice_of_a_sender_that_is_gone() {
    let keeper = Organisation::start(1, &[]).await;
    let other = Organisation::start(2, &[&keeper]).await;
    let sender = Organisation::start(3, &[&keeper, &other]).await;
    let address = TestSigner::new(4).address();
    let notice = notice(3, address);
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
    assert_eq!(collected[0], contact);
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
    assert!(keeper.inbox.0.lock().unwrap().is_empty());
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
    assert!(keeper.inbox.0.lock().unwrap().is_empty());
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
