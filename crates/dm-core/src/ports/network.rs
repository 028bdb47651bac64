use alloy_primitives::Address;
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use serde::{Deserialize, Serialize};

use super::{ChunkOpener, OpenedChunk};
use crate::{
    address_record::{Announcement, SignedAddressRecord},
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::Locator,
    peer::{NetworkStats, PeerStatus},
    trace::Trace,
};

/// An object that peers have: its newest envelope and who holds it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The newest envelope that a holder sent; its signature holds.
    pub envelope: SignedEnvelope,
    /// Peer ids of the holders in text form, best first.
    pub holders: Vec<String>,
}

/// The outcome of distributing an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushReport {
    /// Peers that hold the object with the newest envelope now.
    pub holders: Vec<String>,
    /// Why peers that were offered it did not take it; the reason that will last
    /// longest where they had several. `None` where all took it or none was asked.
    pub not_taken: Option<NotTaken>,
}

/// Why a copy of an object was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotTaken {
    /// There was no further peer to offer it to.
    NoPeer,
    /// The peers did not answer.
    Unreachable,
    /// The peers had too much to do.
    Busy,
    /// The peers had no room for it.
    Full,
    /// It is larger than what the peers keep for others.
    TooLarge,
    /// It cannot be read here.
    Unreadable,
}

/// Where organisations are found: the address records on the DHT.
#[async_trait]
pub trait AddressDirectory: Send + Sync {
    /// Puts this node's address record on the DHT, now and again at intervals.
    async fn announce(&self, own: Announcement) -> Result<(), NetworkError>;

    /// The newest valid record of an address that the DHT has.
    async fn find_address(&self, address: Address) -> Result<Option<SignedAddressRecord>, NetworkError>;
}

/// Brings objects to peers and fetches them from there.
#[async_trait]
pub trait ObjectExchange: Send + Sync {
    /// Brings a locally stored object to the `copies` peers closest to its
    /// locator and announces this node as provider. Peers that have the chunks
    /// already are sent the envelope alone. Fewer reachable peers are no error.
    async fn push(&self, object: &ObjectId, copies: usize) -> Result<PushReport, NetworkError>;

    /// The objects that peers hold under a locator, at most one for each owner and at
    /// most 64. Those of `owners` come first, and peers are asked for them by name: whoever
    /// knows the owner says so, and no number of other owners hides the object. Others
    /// come from all peers in turn. Notes in the trace who was asked.
    async fn find(
        &self,
        locator: &Locator,
        owners: &[Address],
        trace: &Trace,
    ) -> Result<Vec<Found>, NetworkError>;

    /// Like [`ObjectExchange::find`], but asks nobody but the peers that are known to
    /// hold something under the locator: quick, no load for the DHT, and
    /// perhaps not the newest envelope. Empty where nobody is known.
    async fn find_at_known(
        &self,
        locator: &Locator,
        owners: &[Address],
        trace: &Trace,
    ) -> Result<Vec<Found>, NetworkError>;

    /// Fetches the chunks of an object in their order, beginning with the one
    /// at index `first`, from several holders in parallel; each chunk has been
    /// checked against the envelope's chunk list. Memory is bounded by a few
    /// chunks and the stream goes no faster than it is read. The stream ends
    /// after the first error. Notes in the trace who sent what.
    fn fetch(
        &self,
        found: &Found,
        first: u64,
        trace: &Trace,
    ) -> BoxStream<'static, Result<Chunk, FetchError>>;

    /// Like [`ObjectExchange::fetch`], and opens each chunk where it is checked: one pass over
    /// bytes that have just arrived costs less than several. A chunk that has its name and
    /// cannot be opened is the owner's fault, and not that of the peer that sent it.
    fn fetch_opened(
        &self,
        found: &Found,
        first: u64,
        opener: ChunkOpener,
        trace: &Trace,
    ) -> BoxStream<'static, Result<OpenedChunk, FetchError>> {
        let chunks = self.fetch(found, first, trace);
        chunks.map_ok(move |chunk| opener.open(chunk)).boxed()
    }
}

/// What is known of the network now.
pub trait NetworkStatus: Send + Sync {
    /// The peer book.
    fn peers(&self) -> Vec<PeerStatus>;

    /// Totals.
    fn stats(&self) -> NetworkStats;

    /// This node's own peer id, in text form.
    fn local_peer_id(&self) -> String;

    /// Multiaddrs on which this node listens, peer id included.
    fn listen_addresses(&self) -> Vec<String>;

    /// Whether the network is running.
    fn is_running(&self) -> bool;
}

/// The peer-to-peer network: all three, for whoever hands them on.
pub trait Network: AddressDirectory + ObjectExchange + NetworkStatus {}

impl<T: AddressDirectory + ObjectExchange + NetworkStatus> Network for T {}

/// Why the network did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The network layer is stopping or was stopped.
    #[error("the network is not running")]
    Stopped,
    /// The object to spread is not stored here, or cannot be read.
    #[error("the object cannot be read from the local store: {0}")]
    Local(String),
    /// No answer in time.
    #[error("no answer from the network in time")]
    TimedOut,
}

/// Why an object could not be fetched to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Every holder failed, withheld or sent wrong bytes.
    #[error("no peer delivers the rest of the object: {0}")]
    NoHolder(String),
    /// The network layer was stopped.
    #[error("the network is not running")]
    Stopped,
}
