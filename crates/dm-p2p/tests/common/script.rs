//! A peer that follows a script: it speaks the protocol, written down here a
//! second time from its description, and lies as it is told.

use std::sync::Arc;

use dm_core::{
    Address,
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::Locator,
};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, identify,
    identity::Keypair,
    kad, noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use serde::{Deserialize, Serialize};

/// What each peer of a script speaks.
const OBJECTS: StreamProtocol = StreamProtocol::new("/datamgmt/objects/1");
/// What it speaks besides, if its part says so.
const OBJECTS_2: StreamProtocol = StreamProtocol::new("/datamgmt/objects/2");
const OBJECTS_3: StreamProtocol = StreamProtocol::new("/datamgmt/objects/3");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    Envelopes {
        locator: Locator,
    },
    Names {
        id: ObjectId,
        first: u64,
        count: u32,
    },
    Chunks {
        id: ObjectId,
        first: u64,
        count: u32,
    },
    Offer {
        envelope_len: u32,
    },
    Peers,
    Prove {
        id: ObjectId,
        chunk_list: [u8; 32],
        nonce: [u8; 32],
        known: Vec<Vec<u8>>,
    },
    FindEnvelopes {
        locator: Locator,
        owners: Vec<Address>,
        after: Option<Address>,
    },
    Announce {
        count: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Envelopes {
        lengths: Vec<u32>,
    },
    Names {
        count: u32,
    },
    Chunk {
        len: u32,
    },
    Missing,
    OfferAnswer(OfferAnswer),
    Peers {
        len: u32,
    },
    Proof {
        digest: [u8; 32],
        sequence: u64,
    },
    EnvelopePage {
        lengths: Vec<u32>,
        next: Option<Address>,
    },
    Announced {
        kept: u32,
    },
    Unsupported,
    Resumes,
    WantedFrom {
        first: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum OfferAnswer {
    Held,
    Wanted,
    Refused(Refusal),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    Stale,
    TooLarge,
    Full,
    Busy,
    Invalid,
    Failed,
}

/// What the peer does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Nothing wrong.
    None,
    /// Chunks with a wrong byte.
    WrongChunks,
    /// Names of other chunks.
    WrongNames,
    /// Claims the object and then does not have it.
    Withholds,
    /// Has the names of the chunks and not the chunks.
    WithholdsChunks,
    /// Never sends a chunk.
    Stalls,
    /// Closes the stream after each request.
    HangsUp,
    /// Sends lengths that no message has.
    Rubbish,
}

/// What the peer pretends to hold.
#[derive(Clone)]
pub struct Holding {
    pub envelope: bytes::Bytes,
    /// Envelopes of other owners, which are sent before it.
    pub others: Vec<bytes::Bytes>,
    pub chunks: Vec<Chunk>,
}

impl Holding {
    pub fn new(envelope: &SignedEnvelope, chunks: &[Chunk]) -> Self {
        Self {
            envelope: envelope.bytes().clone(),
            others: Vec::new(),
            chunks: chunks.to_vec(),
        }
    }
}

impl Holding {
    fn envelopes(&self) -> Vec<bytes::Bytes> {
        self.others.iter().chain([&self.envelope]).cloned().collect()
    }

    fn lengths(&self) -> Vec<u32> {
        let envelopes = self.envelopes();
        envelopes.iter().map(|envelope| envelope.len() as u32).collect()
    }
}

/// What a peer does besides.
#[derive(Clone, Default)]
pub struct Part {
    /// Peers that it names when it is asked, with an address of each.
    pub names: Vec<(PeerId, Multiaddr)>,
    /// Addresses that it says are its own.
    pub announces: Vec<Multiaddr>,
    /// Whether it speaks version 2 of the protocol as well.
    pub speaks_two: bool,
}

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub ping: ping::Behaviour,
    pub objects: libp2p_stream::Behaviour,
    pub identify: identify::Behaviour,
    pub kad: kad::Behaviour<kad::store::MemoryStore>,
}

pub fn swarm() -> Swarm<Behaviour> {
    swarm_of(Keypair::generate_ed25519())
}

pub fn swarm_of(keypair: Keypair) -> Swarm<Behaviour> {
    SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|keypair| {
            let local = keypair.public().to_peer_id();
            let config = kad::Config::new(StreamProtocol::new("/datamgmt/kad/1"));
            let mut kad = kad::Behaviour::with_config(local, kad::store::MemoryStore::new(local), config);
            kad.set_mode(Some(kad::Mode::Server));
            Behaviour {
                ping: ping::Behaviour::default(),
                objects: libp2p_stream::Behaviour::new(),
                identify: identify::Behaviour::new(identify::Config::new(
                    "/datamgmt/1".into(),
                    keypair.public(),
                )),
                kad,
            }
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(std::time::Duration::from_secs(60)))
        .build()
}

/// A scripted peer, connected with a node.
pub struct Scripted {
    pub peer: PeerId,
    pub control: libp2p_stream::Control,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects a peer that answers by the script.
pub async fn connect(node: &str, lie: Lie, holding: Option<Holding>) -> Scripted {
    connect_as(node, lie, holding, Part::default()).await
}

/// Connects a peer that answers by the script and plays a part besides.
pub async fn connect_as(node: &str, lie: Lie, holding: Option<Holding>, part: Part) -> Scripted {
    let mut swarm = swarm();
    for address in &part.announces {
        swarm.add_external_address(address.clone());
    }
    let address: Multiaddr = node.parse().unwrap();
    let mut control = swarm.behaviour().objects.new_control();
    let mut incoming = control.accept(OBJECTS).unwrap().boxed();
    if part.speaks_two {
        let newer = control.accept(OBJECTS_2).unwrap();
        incoming = futures::stream::select(incoming, newer).boxed();
    }
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    swarm.dial(address).unwrap();
    loop {
        if let SwarmEvent::ConnectionEstablished { .. } = swarm.select_next_some().await {
            break;
        }
    }
    let peer = *swarm.local_peer_id();
    let holding = Arc::new(holding);
    let part = Arc::new(part);
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = swarm.select_next_some() => {}
                Some((_, stream)) = incoming.next() => {
                    tokio::spawn(answer(stream, lie, holding.clone(), part.clone()));
                }
            }
        }
    });
    Scripted { peer, control, task }
}

impl Scripted {
    /// Opens a stream to the node.
    pub async fn open(&mut self, node: &str) -> Stream {
        let node = node.rsplit('/').next().unwrap().parse().unwrap();
        self.control.open_stream(node, OBJECTS).await.unwrap()
    }

    /// Opens a stream of version 2 to the node.
    pub async fn open_two(&mut self, node: &str) -> Stream {
        let node = node.rsplit('/').next().unwrap().parse().unwrap();
        self.control.open_stream(node, OBJECTS_2).await.unwrap()
    }

    /// Opens a stream of version 3 to the node.
    pub async fn open_three(&mut self, node: &str) -> Stream {
        let node = node.rsplit('/').next().unwrap().parse().unwrap();
        self.control.open_stream(node, OBJECTS_3).await.unwrap()
    }
}

pub async fn send<T: Serialize>(stream: &mut Stream, message: &T) {
    let body = postcard::to_stdvec(message).unwrap();
    let mut frame = (body.len() as u16).to_be_bytes().to_vec();
    frame.extend(body);
    let _ = stream.write_all(&frame).await;
    let _ = stream.flush().await;
}

pub async fn send_bytes(stream: &mut Stream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
}

pub async fn receive<T: for<'a> Deserialize<'a>>(stream: &mut Stream) -> Option<T> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).await.ok()?;
    let mut body = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut body).await.ok()?;
    postcard::from_bytes(&body).ok()
}

async fn answer(mut stream: Stream, lie: Lie, holding: Arc<Option<Holding>>, part: Arc<Part>) {
    while let Some(request) = receive::<Request>(&mut stream).await {
        if lie == Lie::HangsUp {
            return;
        }
        if lie == Lie::Rubbish {
            send_bytes(&mut stream, &[0xff; 64]).await;
            return;
        }
        match (request, &*holding) {
            (Request::Envelopes { .. }, Some(holding)) => {
                let lengths = holding.lengths();
                send(&mut stream, &Reply::Envelopes { lengths }).await;
                send_bytes(&mut stream, &holding.envelopes().concat()).await;
            }
            // Version 2 of the same, which goes on for ever.
            (Request::FindEnvelopes { .. }, Some(holding)) => {
                let (lengths, next) = (holding.lengths(), Some(Address::repeat_byte(1)));
                send(&mut stream, &Reply::EnvelopePage { lengths, next }).await;
                send_bytes(&mut stream, &holding.envelopes().concat()).await;
            }
            (Request::Envelopes { .. }, None) => {
                send(&mut stream, &Reply::Envelopes { lengths: vec![] }).await;
            }
            (Request::Names { first, count, .. }, Some(holding)) if lie != Lie::Withholds => {
                send(&mut stream, &Reply::Names { count }).await;
                for chunk in holding.chunks.iter().skip(first as usize).take(count as usize) {
                    let mut name = *chunk.name().as_bytes();
                    name[0] ^= u8::from(lie == Lie::WrongNames);
                    send_bytes(&mut stream, &name).await;
                }
            }
            (Request::Chunks { .. }, Some(_)) if lie == Lie::Stalls => std::future::pending().await,
            (Request::Chunks { first, count, .. }, Some(holding))
                if !matches!(lie, Lie::Withholds | Lie::WithholdsChunks) =>
            {
                for chunk in holding.chunks.iter().skip(first as usize).take(count as usize) {
                    let mut bytes = chunk.bytes().to_vec();
                    bytes[0] ^= u8::from(lie == Lie::WrongChunks);
                    send(
                        &mut stream,
                        &Reply::Chunk {
                            len: bytes.len() as u32,
                        },
                    )
                    .await;
                    send_bytes(&mut stream, &bytes).await;
                }
            }
            (Request::Peers, _) => {
                let names = part.names.iter();
                let lines: Vec<_> = names
                    .map(|(peer, at)| (peer.to_bytes(), vec![at.to_vec()]))
                    .collect();
                let bytes = postcard::to_stdvec(&lines).unwrap();
                let len = bytes.len() as u32;
                send(&mut stream, &Reply::Peers { len }).await;
                send_bytes(&mut stream, &bytes).await;
            }
            (Request::Offer { .. }, _) if lie == Lie::Stalls => std::future::pending().await,
            (Request::Offer { envelope_len }, _) if lie == Lie::WithholdsChunks => {
                let mut envelope = vec![0; envelope_len as usize];
                let _ = stream.read_exact(&mut envelope).await;
                send(&mut stream, &Reply::OfferAnswer(OfferAnswer::Wanted)).await;
                std::future::pending::<()>().await;
            }
            (Request::Offer { .. }, _) => return,
            _ => send(&mut stream, &Reply::Missing).await,
        }
    }
}
