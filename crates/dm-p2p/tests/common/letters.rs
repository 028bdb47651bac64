//! Organisations that exchange letters, and the protocol, a second time from its description.

use std::sync::Arc;

use bytes::Bytes;
use dm_core::{
    Address,
    address_record::{AddressRecord, SignedAddressRecord},
    bus::EventBus,
    clock::now_ms,
    envelope::ObjectId,
    notice::{Notice, SignedNotice},
    peer::PeerStatus,
    ports::{AddressDirectory, NetworkStatus, Signer},
    signed::Signed,
};
use dm_p2p::{Identity, P2pDeps};
use dm_testing::{
    catalog::MemoryCatalog,
    key_value::MemoryKeyValueStore,
    network::MemoryInbox,
    objects::{MemoryObjectStore, SampleObject},
    signer::TestSigner,
};
use libp2p::{PeerId, Stream, StreamProtocol};
use serde::{Deserialize, Serialize};

use super::{
    Node, config,
    script::{Scripted, receive, send, send_bytes},
    start_with,
};

pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/datamgmt/notices/1");
pub const SECOND: StreamProtocol = StreamProtocol::new("/datamgmt/notices/2");
pub const THIRD: StreamProtocol = StreamProtocol::new("/datamgmt/notices/3");

pub type Place = (Address, ObjectId);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    Put {
        len: u32,
    },
    Collect {
        record_len: u32,
        named: u32,
        after: Option<Place>,
    },
    PutAcknowledgement {
        len: u32,
    },
    PutAll {
        letters: Vec<(Kind, u16)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    Notice,
    Acknowledgement,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Delivered,
    Kept,
    Refused(Refusal),
    Page {
        lengths: Vec<u16>,
        next: Option<Place>,
    },
    Unsupported,
    Letters {
        letters: Vec<(Kind, u16)>,
        next: Option<Place>,
    },
    Outcomes {
        outcomes: Vec<Outcome>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Delivered,
    Kept,
    Refused(Refusal),
    Unsupported,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    NotCurrent,
    Full,
    Invalid,
    Failed,
}

/// A node of an organisation, with its account.
pub struct Organisation {
    pub node: Node,
    pub inbox: Arc<MemoryInbox>,
    pub signer: TestSigner,
}

impl Organisation {
    pub async fn start(account: u8, known: &[&Self]) -> Self {
        Self::start_as(account, Identity::generate(), known).await
    }

    pub async fn start_as(account: u8, identity: Identity, known: &[&Self]) -> Self {
        let initial_peers = known.iter().map(|other| other.node.address()).collect();
        let signer = TestSigner::new(account);
        let mut config = config(identity, initial_peers);
        config.own_address = signer.address();
        let inbox = Arc::new(MemoryInbox::default());
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

    pub fn record(&self) -> SignedAddressRecord {
        let peer = self.node.p2p.local_peer_id();
        let record = AddressRecord::new(self.signer.address(), [1; 32], peer, 1);
        Signed::sign(record, &self.signer).unwrap()
    }

    pub async fn announce(&self) {
        self.node.p2p.announce(self.record().into()).await.unwrap();
    }
}

pub fn notice_of(sender: u8, recipient: Address, made_at: u64, ends_at: u64) -> SignedNotice {
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

pub fn notice(sender: u8, recipient: Address) -> SignedNotice {
    notice_of(sender, recipient, now_ms(), now_ms() + 3_600_000)
}

pub async fn open(peer: &mut Scripted, node: &Node) -> Stream {
    open_as(peer, node, PROTOCOL).await
}

pub async fn open_as(peer: &mut Scripted, node: &Node, protocol: StreamProtocol) -> Stream {
    let node: PeerId = node.p2p.local_peer_id().parse().unwrap();
    peer.control.open_stream(node, protocol).await.unwrap()
}

pub async fn put(peer: &mut Scripted, node: &Node, notice: &Bytes) -> Option<Reply> {
    let mut stream = open(peer, node).await;
    let len = notice.len() as u32;
    send(&mut stream, &Request::Put { len }).await;
    send_bytes(&mut stream, notice).await;
    receive(&mut stream).await
}

/// Asks for what waits for the account of a record.
pub async fn collect(peer: &mut Scripted, node: &Node, record: &SignedAddressRecord) -> Option<Reply> {
    collect_as(peer, node, record, PROTOCOL).await
}

pub async fn collect_as(
    peer: &mut Scripted,
    node: &Node,
    record: &SignedAddressRecord,
    protocol: StreamProtocol,
) -> Option<Reply> {
    let mut stream = open_as(peer, node, protocol).await;
    let request = Request::Collect {
        record_len: record.bytes().len() as u32,
        named: 0,
        after: None,
    };
    send(&mut stream, &request).await;
    send_bytes(&mut stream, record.bytes()).await;
    receive(&mut stream).await
}

pub fn status(node: &Node, peer: &Scripted) -> Option<PeerStatus> {
    let mut peers = node.p2p.peers().into_iter();
    peers.find(|status| status.record.peer_id == peer.peer.to_base58())
}
