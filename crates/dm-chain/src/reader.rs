//! Reads of the anchor contract.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256},
    sol_types::{SolCall, SolEvent},
};
use dm_core::{
    ports::{AnchorHead, ChainError},
    receipt::{Anchor, Checkpoint, Receipt},
};
use serde_json::json;

use crate::{
    contract::{AnchorLog, anchor_contract},
    rpc::{Node, RpcFailure},
    transactions::CallRequest,
    wire::Log,
};

/// Longest inclusion proof that can hold: the sizes of logs have 64 bits.
const MAX_PROOF: usize = 64;

/// Reads the anchor contract of a chain.
#[derive(Clone)]
pub(crate) struct AnchorReader {
    node: Arc<Node>,
    contract: Address,
}

impl AnchorReader {
    /// A reader of this chain's contract.
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            contract: anchor_contract(),
        }
    }

    /// The contract's address.
    pub(crate) fn contract(&self) -> Address {
        self.contract
    }

    /// The newest checkpoint of a log.
    pub(crate) async fn head(&self, log: Address) -> Result<Option<AnchorHead>, ChainError> {
        let head = self.call(AnchorLog::headCall { log }).await?;
        Ok(head.filter(|head| head.size > 0).map(|head| AnchorHead {
            size: head.size,
            block: head.blockNumber,
            timestamp: head.timestamp,
        }))
    }

    /// Whether a log has this checkpoint, accepted in this block at this time.
    pub(crate) async fn holds(
        &self,
        log: Address,
        checkpoint: &Checkpoint,
        head: &AnchorHead,
    ) -> Result<bool, ChainError> {
        let call = AnchorLog::holdsCall {
            log,
            size: checkpoint.size,
            root: checkpoint.root,
            blockNumber: head.block,
            timestamp: head.timestamp,
        };
        Ok(self.call(call).await?.unwrap_or(false))
    }

    /// Whether the receipt's event stands in its log, under the checkpoint and
    /// the anchor that the receipt says.
    pub(crate) async fn proves(&self, receipt: &Receipt, leaf_hash: B256) -> Result<bool, ChainError> {
        let chain_id = self.node.known_chain_id().await?;
        if receipt.anchor.chain_id != chain_id {
            return Err(ChainError::WrongChain {
                expected: receipt.anchor.chain_id,
                found: chain_id,
            });
        }
        if receipt.inclusion_proof.len() > MAX_PROOF {
            return Ok(false);
        }
        let call = AnchorLog::provesCall {
            log: receipt.event.log,
            size: receipt.checkpoint.size,
            root: receipt.checkpoint.root,
            blockNumber: receipt.anchor.block,
            timestamp: receipt.anchor.timestamp,
            leafHash: leaf_hash,
            leafIndex: receipt.leaf_index,
            proof: receipt.inclusion_proof.clone(),
        };
        Ok(self.call(call).await?.unwrap_or(false))
    }

    /// The transaction that made a head, by the events of the head's block.
    pub(crate) async fn transaction_of(
        &self,
        log: Address,
        head: &AnchorHead,
    ) -> Result<Option<B256>, ChainError> {
        let block = U64::from(head.block);
        let filter = json!({
            "address": self.contract,
            "fromBlock": block,
            "toBlock": block,
            "topics": [AnchorLog::Anchored::SIGNATURE_HASH, log.into_word(), B256::from(U256::from(head.size))],
        });
        let logs: Vec<Log> = self.node.read("eth_getLogs", (filter,)).await?;
        Ok(logs.iter().find_map(|entry| {
            let event = self.anchored(entry)?;
            let is_it = event.log == log
                && event.size == head.size
                && event.blockNumber == head.block
                && event.timestamp == head.timestamp;
            entry.transaction_hash.filter(|_| is_it)
        }))
    }

    /// The anchor that the contract noted in the log entries of a transaction.
    pub(crate) async fn anchor_in(&self, tx_hash: B256, logs: &[Log]) -> Result<Option<Anchor>, ChainError> {
        let Some(event) = logs.iter().find_map(|entry| self.anchored(entry)) else {
            return Ok(None);
        };
        Ok(Some(Anchor {
            chain_id: self.node.known_chain_id().await?,
            contract: self.contract,
            tx_hash,
            block: event.blockNumber,
            timestamp: event.timestamp,
        }))
    }

    fn anchored(&self, entry: &Log) -> Option<AnchorLog::Anchored> {
        if entry.address != self.contract {
            return None;
        }
        AnchorLog::Anchored::decode_raw_log_validate(entry.topics.iter().copied(), &entry.data).ok()
    }

    /// Calls a view of the contract; `None` where the contract is not deployed.
    async fn call<C: SolCall>(&self, call: C) -> Result<Option<C::Return>, ChainError> {
        let request = CallRequest::view(self.contract, call.abi_encode().into());
        let answer: Bytes = self.node.read("eth_call", (request, "latest")).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let decoded = C::abi_decode_returns_validate(&answer).map_err(|_| RpcFailure::nonsense())?;
        Ok(Some(decoded))
    }
}
