//! A network that keeps its users waiting.

use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{
    Address,
    address_record::{Announcement, SignedAddressRecord},
    envelope::{Chunk, ObjectId},
    hash::Locator,
    peer::{NetworkStats, PeerStatus},
    ports::{AddressDirectory, FetchError, Found, NetworkError, NetworkStatus, ObjectExchange, PushReport},
    trace::Trace,
};
use dm_testing::network::MemoryNode;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

/// A network whose peers begin something and never go on.
pub(crate) struct Stalled {
    node: Arc<MemoryNode>,
    /// Whose objects are never sent; where that is nobody, no object is ever taken.
    sender: Option<Address>,
}

impl Stalled {
    /// No peer ever takes an object to its end.
    pub(crate) fn taking(node: &Arc<MemoryNode>) -> Self {
        Self {
            node: node.clone(),
            sender: None,
        }
    }

    /// No peer ever sends an object of this sender.
    pub(crate) fn sending_of(node: &Arc<MemoryNode>, sender: Address) -> Self {
        Self {
            node: node.clone(),
            sender: Some(sender),
        }
    }
}

#[async_trait]
impl AddressDirectory for Stalled {
    async fn announce(&self, own: Announcement) -> Result<(), NetworkError> {
        self.node.announce(own).await
    }

    async fn find_address(&self, address: Address) -> Result<Option<SignedAddressRecord>, NetworkError> {
        self.node.find_address(address).await
    }
}

#[async_trait]
impl ObjectExchange for Stalled {
    async fn push(&self, object: &ObjectId, copies: usize) -> Result<PushReport, NetworkError> {
        match self.sender {
            Some(_) => self.node.push(object, copies).await,
            None => std::future::pending().await,
        }
    }

    async fn find(
        &self,
        locator: &Locator,
        owners: &[Address],
        trace: &Trace,
    ) -> Result<Vec<Found>, NetworkError> {
        self.node.find(locator, owners, trace).await
    }

    async fn find_at_known(
        &self,
        locator: &Locator,
        owners: &[Address],
        trace: &Trace,
    ) -> Result<Vec<Found>, NetworkError> {
        self.node.find_at_known(locator, owners, trace).await
    }

    fn fetch(
        &self,
        found: &Found,
        first: u64,
        trace: &Trace,
    ) -> BoxStream<'static, Result<Chunk, FetchError>> {
        if self.sender == Some(found.envelope.id.owner) {
            return stream::pending().boxed();
        }
        self.node.fetch(found, first, trace)
    }
}

impl NetworkStatus for Stalled {
    fn peers(&self) -> Vec<PeerStatus> {
        self.node.peers()
    }

    fn stats(&self) -> NetworkStats {
        self.node.stats()
    }

    fn local_peer_id(&self) -> String {
        self.node.local_peer_id()
    }

    fn listen_addresses(&self) -> Vec<String> {
        self.node.listen_addresses()
    }

    fn is_running(&self) -> bool {
        self.node.is_running()
    }
}
