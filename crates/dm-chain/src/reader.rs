//! Reads of the anchor contract.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256},
    sol_types::SolEvent,
};
use dm_core::{
    ports::{AnchorHead, ChainError},
    receipt::{Anchor, Checkpoint, Receipt},
};
use serde_json::json;

use crate::{
    backend::{AnchorQuestion, Anchored, EvmBackend},
    contract::{AnchorLog, anchor_contract},
    rpc::{Node, RpcFailure},
    tx::CallRequest,
    wire::Log,
};

/// Longest inclusion proof that can hold: the sizes of logs have 64 bits.
const MAX_PROOF: usize = 64;

/// Reads the anchor contract of a chain.
#[derive(Clone)]
pub(crate) struct AnchorReader {
    node: Arc<Node>,
    backend: &'static dyn EvmBackend,
    contract: Address,
}

impl AnchorReader {
    /// A reader of this chain's contract.
    pub(crate) fn new(node: Arc<Node>, backend: &'static dyn EvmBackend) -> Self {
        Self {
            node,
            backend,
            contract: anchor_contract(),
        }
    }

    /// The contract's address.
    pub(crate) fn contract(&self) -> Address {
        self.contract
    }

    /// The newest checkpoint of a log.
    pub(crate) async fn head(&self, log: Address) -> Result<Option<AnchorHead>, ChainError> {
        let answer = self.ask(&AnchorQuestion::Head(log)).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let head = self.backend.decode_head(&answer);
        let head = head.ok_or_else(RpcFailure::nonsense)?;
        Ok(Some(head).filter(|head| head.size > 0))
    }

    /// The controller of a log; `None` where the contract is not deployed.
    pub(crate) async fn log_controller(&self, log: Address) -> Result<Option<Address>, ChainError> {
        let answer = self.ask(&AnchorQuestion::Controller(log)).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let controller = self.backend.decode_controller(&answer);
        Ok(Some(controller.ok_or_else(RpcFailure::nonsense)?))
    }

    /// Whether a log has this checkpoint, accepted in this block at this time.
    pub(crate) async fn holds(
        &self,
        log: Address,
        checkpoint: &Checkpoint,
        head: &AnchorHead,
    ) -> Result<bool, ChainError> {
        self.is_true(&AnchorQuestion::Holds(log, checkpoint, head)).await
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
        self.is_true(&AnchorQuestion::Proves(receipt, leaf_hash)).await
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
        let made_it = |entry: &&Log| {
            let event = self.anchored(entry);
            event.is_some_and(|event| event.log == log && event.head == *head)
        };
        let entry = logs
            .iter()
            .filter(|entry| entry.transaction_hash.is_some())
            .find(made_it);
        Ok(entry.and_then(|entry| entry.transaction_hash))
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
            block: event.head.block,
            timestamp: event.head.timestamp,
        }))
    }

    fn anchored(&self, entry: &Log) -> Option<Anchored> {
        if entry.address != self.contract {
            return None;
        }
        self.backend.anchored(entry)
    }

    /// Whether the contract says yes; it says no where it is not deployed.
    async fn is_true(&self, question: &AnchorQuestion<'_>) -> Result<bool, ChainError> {
        let answer = self.ask(question).await?;
        if answer.is_empty() {
            return Ok(false);
        }
        let answer = self.backend.decode_bool(&answer);
        Ok(answer.ok_or_else(RpcFailure::nonsense)?)
    }

    /// What the contract answers; nothing where it is not deployed.
    async fn ask(&self, question: &AnchorQuestion<'_>) -> Result<Bytes, ChainError> {
        let input = self.backend.anchor_question(question);
        let request = CallRequest::view(self.contract, input);
        Ok(self.node.read("eth_call", (request, "latest")).await?)
    }
}
