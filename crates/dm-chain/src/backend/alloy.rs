//! alloy as the backend.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::{SolCall, SolEvent},
};
use dm_core::{
    operation::Operation,
    ports::{AnchorHead, AnchorRequest, ChainError, Signer},
};

use super::{AnchorQuestion, AnchorTarget, Anchored, EvmBackend, TokenQuestion, erc20, signing};
use crate::{
    contract::AnchorLog,
    tx::{SigningJob, Version},
    wire::Log,
};

/// The client over alloy.
pub(crate) struct AlloyBackend;

impl EvmBackend for AlloyBackend {
    fn sign(&self, job: &SigningJob, chain_id: u64, signer: &dyn Signer) -> Result<Version, ChainError> {
        signing::sign(job, chain_id, signer)
    }

    fn token_question(&self, question: TokenQuestion) -> Bytes {
        erc20::question(question)
    }

    fn operation_input(&self, operation: &Operation) -> Bytes {
        erc20::operation_input(operation)
    }

    fn transfer(&self, log: &Log) -> Option<(Address, U256)> {
        erc20::transfer(log)
    }

    fn anchor(&self, request: &AnchorRequest, target: AnchorTarget) -> Bytes {
        let previous_root = request.previous.map_or(B256::ZERO, |previous| previous.root);
        let proof = request.consistency_proof.clone();
        match target {
            AnchorTarget::OwnLog => AnchorLog::anchorCall {
                previousRoot: previous_root,
                size: request.next.size,
                root: request.next.root,
                proof,
            }
            .abi_encode(),
            AnchorTarget::LogOf(log) => AnchorLog::anchorForCall {
                log,
                previousRoot: previous_root,
                size: request.next.size,
                root: request.next.root,
                proof,
            }
            .abi_encode(),
        }
        .into()
    }

    fn hand_over(&self, log: Address, to: Address) -> Bytes {
        AnchorLog::handOverCall { log, to }.abi_encode().into()
    }

    fn anchor_question(&self, question: &AnchorQuestion<'_>) -> Bytes {
        match *question {
            AnchorQuestion::Head(log) => AnchorLog::headCall { log }.abi_encode(),
            AnchorQuestion::Controller(log) => AnchorLog::keeperCall { log }.abi_encode(),
            AnchorQuestion::Holds(log, checkpoint, head) => AnchorLog::holdsCall {
                log,
                size: checkpoint.size,
                root: checkpoint.root,
                blockNumber: head.block,
                timestamp: head.timestamp,
            }
            .abi_encode(),
            AnchorQuestion::Proves(receipt, leaf_hash) => AnchorLog::provesCall {
                log: receipt.event.log,
                size: receipt.checkpoint.size,
                root: receipt.checkpoint.root,
                blockNumber: receipt.anchor.block,
                timestamp: receipt.anchor.timestamp,
                leafHash: leaf_hash,
                leafIndex: receipt.leaf_index,
                proof: receipt.inclusion_proof.clone(),
            }
            .abi_encode(),
        }
        .into()
    }

    fn decode_head(&self, answer: &[u8]) -> Option<AnchorHead> {
        let head = AnchorLog::headCall::abi_decode_returns_validate(answer).ok()?;
        Some(AnchorHead {
            size: head.size,
            block: head.blockNumber,
            timestamp: head.timestamp,
        })
    }

    fn decode_controller(&self, answer: &[u8]) -> Option<Address> {
        AnchorLog::keeperCall::abi_decode_returns_validate(answer).ok()
    }

    fn decode_bool(&self, answer: &[u8]) -> Option<bool> {
        AnchorLog::holdsCall::abi_decode_returns_validate(answer).ok()
    }

    fn anchored(&self, log: &Log) -> Option<Anchored> {
        let topics = log.topics.iter().copied();
        let event = AnchorLog::Anchored::decode_raw_log_validate(topics, &log.data).ok()?;
        Some(Anchored {
            log: event.log,
            head: AnchorHead {
                size: event.size,
                block: event.blockNumber,
                timestamp: event.timestamp,
            },
        })
    }
}
