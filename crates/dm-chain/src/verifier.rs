//! Checks receipts with a chain and without an account.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use dm_core::{ports::ChainError, receipt::Receipt};

use crate::{
    access::ChainAccess,
    config::ClientConfig,
    reader::AnchorReader,
    rpc::{InvalidUrl, Node},
};

/// Asks a chain whether it confirms a receipt; needs no account and no node.
#[derive(Clone)]
pub struct ReceiptVerifier {
    node: Arc<Node>,
    reader: AnchorReader,
}

impl ReceiptVerifier {
    /// A verifier that asks this chain. Nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub fn new(config: &ClientConfig, chain: impl Into<ChainAccess>) -> Result<Self, InvalidUrl> {
        let (node, backend) = chain.into().open(config)?;
        let node = Arc::new(node);
        Ok(Self {
            reader: AnchorReader::new(node.clone(), backend),
            node,
        })
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
