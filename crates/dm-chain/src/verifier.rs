//! Checks receipts with a chain and without an account.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256},
    rpc::client::RpcClient,
};
use dm_core::{ports::ChainError, receipt::Receipt};

use crate::{
    config::ClientConfig,
    library::Alloy,
    reader::AnchorReader,
    rpc::{Connection, InvalidUrl, Node},
};

/// Asks a chain whether it confirms a receipt; needs no account and no node.
#[derive(Clone)]
pub struct ReceiptVerifier {
    node: Arc<Node>,
    reader: AnchorReader,
}

impl ReceiptVerifier {
    /// A verifier that asks the chain at an http, https, ws or wss URL.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub fn connect(url: &str, config: &ClientConfig) -> Result<Self, InvalidUrl> {
        Ok(Self::new(Node::at(&[url], &Alloy, config)?))
    }

    /// A verifier over any of alloy's transports.
    pub fn over(client: RpcClient, config: &ClientConfig) -> Self {
        Self::new(Node::over(Connection::Ready(client), &Alloy, config))
    }

    fn new(node: Node) -> Self {
        let node = Arc::new(node);
        Self {
            reader: AnchorReader::new(node.clone()),
            node,
        }
    }

    /// EIP-155 id of the chain.
    ///
    /// # Errors
    /// [`ChainError::Unavailable`] where it does not answer.
    pub async fn chain_id(&self) -> Result<u64, ChainError> {
        Ok(self.node.chain_id().await?)
    }

    /// Address of the contract that is asked; it is computed, whatever a
    /// receipt says.
    pub fn contract(&self) -> Address {
        self.reader.contract()
    }

    /// Whether the chain confirms the receipt, in one read: see
    /// [`dm_core::ports::Anchors::proves`]. `leaf_hash` is the RFC 6962 hash of
    /// the receipt's event.
    ///
    /// # Errors
    /// [`ChainError::WrongChain`] where the receipt is for another chain,
    /// [`ChainError::Unavailable`] where this one does not answer.
    pub async fn proves(&self, receipt: &Receipt, leaf_hash: B256) -> Result<bool, ChainError> {
        self.reader.proves(receipt, leaf_hash).await
    }
}
