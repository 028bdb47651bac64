//! Executes transactions into a block.

use std::{collections::HashSet, sync::Arc};

use alloy::{
    consensus::{
        Header, Transaction,
        constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS},
        proofs::{calculate_receipt_root, calculate_transaction_root},
    },
    eips::eip7685::EMPTY_REQUESTS_HASH,
    primitives::{Address, B256, Bloom, Bytes, Keccak256, U256},
};
use revm::{
    DatabaseCommit, ExecuteEvm,
    context::result::{EVMError, ExecutionResult, Output},
};

use super::{
    EmbeddedChainError,
    block::{Block, MinedTransaction},
    evm,
    pool::Candidate,
    state::{BlockState, Replaced, StateChanges, StateView},
};

/// A block that was executed and is not yet part of the chain.
pub(super) struct Draft {
    pub(super) block: Block,
    pub(super) transactions: Vec<MinedTransaction>,
    pub(super) changes: StateChanges,
    pub(super) replaced: Replaced,
    /// Transactions that cannot be executed, for instance because their
    /// sender's money is gone by now.
    pub(super) rejected: Vec<B256>,
}

/// Executes candidates on top of `parent`, as many as the gas limit allows.
pub(super) fn build(
    chain_id: u64,
    parent: &Block,
    state: StateView,
    candidates: &[Arc<Candidate>],
    now: u64,
) -> Result<Draft, EmbeddedChainError> {
    let environment = next_header(parent, now);
    let mut evm = evm::for_block(BlockState::new(state), chain_id, &environment);
    let mut body = Body::default();
    let mut stopped = HashSet::new();
    for candidate in candidates {
        let sender = candidate.transaction.signer();
        let fits = candidate.transaction.gas_limit() <= evm::BLOCK_GAS_LIMIT - body.gas_used;
        if !fits || stopped.contains(&sender) {
            stopped.insert(sender);
            continue;
        }
        match evm.transact(evm::environment(&candidate.transaction)) {
            Ok(executed) => {
                evm.ctx.journaled_state.database.commit(executed.state);
                body.add(candidate, executed.result);
            }
            Err(EVMError::Database(error)) => return Err(error),
            Err(error) => {
                tracing::debug!(transaction = %candidate.hash(), %error, "transaction dropped");
                body.rejected.push(candidate.hash());
                stopped.insert(sender);
            }
        }
    }
    let (changes, replaced) = evm.ctx.journaled_state.database.finish()?;
    let block = body.seal(environment, &parent.header.state_root, &changes);
    Ok(Draft {
        block,
        transactions: body.transactions,
        changes,
        replaced,
        rejected: body.rejected,
    })
}

/// Block 0: it has no transactions, only what `state` was given. `mark` tells it from the
/// block 0 of another chain that began in the same second.
pub(super) fn genesis(state: BlockState, timestamp: u64, mark: Bytes) -> Result<Draft, EmbeddedChainError> {
    let (changes, replaced) = state.finish()?;
    let header = Header {
        timestamp,
        extra_data: mark,
        base_fee_per_gas: Some(alloy::eips::eip1559::INITIAL_BASE_FEE),
        ..empty_header()
    };
    let block = Body::default().seal(header, &B256::ZERO, &changes);
    Ok(Draft {
        block,
        transactions: Vec::new(),
        changes,
        replaced,
        rejected: Vec::new(),
    })
}

/// What was executed so far.
#[derive(Default)]
struct Body {
    transactions: Vec<MinedTransaction>,
    rejected: Vec<B256>,
    gas_used: u64,
    logs: u64,
}

impl Body {
    fn add(&mut self, candidate: &Candidate, result: ExecutionResult) {
        let gas_used = result.tx_gas_used();
        let success = result.is_success();
        let contract = created_contract(&result);
        // What reverts leaves no logs (EIP-658).
        let logs = if success { result.into_logs() } else { Vec::new() };
        self.gas_used += gas_used;
        let first_log = self.logs;
        self.logs += logs.len() as u64;
        self.transactions.push(MinedTransaction {
            transaction: candidate.transaction.clone(),
            success,
            gas_used,
            cumulative_gas_used: self.gas_used,
            contract,
            first_log,
            logs,
        });
    }

    fn seal(&self, header: Header, parent_state: &B256, changes: &StateChanges) -> Block {
        let transactions: Vec<_> = self
            .transactions
            .iter()
            .map(|mined| mined.transaction.inner())
            .collect();
        let receipts: Vec<_> = self.transactions.iter().map(MinedTransaction::receipt).collect();
        let logs_bloom = receipts
            .iter()
            .fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        let header = Header {
            state_root: state_commitment(parent_state, changes),
            transactions_root: calculate_transaction_root(&transactions),
            receipts_root: calculate_receipt_root(&receipts),
            logs_bloom,
            gas_used: self.gas_used,
            ..header
        };
        Block::seal(header, &self.transactions)
    }
}

fn created_contract(result: &ExecutionResult) -> Option<Address> {
    match result {
        ExecutionResult::Success {
            output: Output::Create(_, address),
            ..
        } => *address,
        _ => None,
    }
}

/// The header of the block after `parent`, its results still missing. Several
/// blocks of one second have the same time, so that the chain's clock never
/// runs ahead of the world's.
pub(super) fn next_header(parent: &Block, now: u64) -> Header {
    Header {
        parent_hash: parent.hash,
        number: parent.header.number + 1,
        timestamp: now.max(parent.header.timestamp),
        mix_hash: evm::randomness(&parent.hash),
        base_fee_per_gas: Some(parent.next_base_fee()),
        ..empty_header()
    }
}

fn empty_header() -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        gas_limit: evm::BLOCK_GAS_LIMIT,
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

/// What stands in the header for the state: the hash of the parent's state
/// commitment and all values that the block changed, in the order of their
/// keys. It binds the whole history of the state as a Merkle Patricia root
/// would, at the price of the changes alone, and proves no single value.
fn state_commitment(parent: &B256, changes: &StateChanges) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(parent);
    for (address, account) in &changes.accounts {
        hasher.update(address);
        match account {
            Some(info) => {
                hasher.update(info.nonce.to_be_bytes());
                hasher.update(info.balance.to_be_bytes::<32>());
                hasher.update(info.code_hash);
            }
            None => hasher.update([0]),
        }
    }
    for ((address, slot), value) in &changes.slots {
        hasher.update(address);
        for word in [slot, value] {
            hasher.update(U256::to_be_bytes::<32>(word));
        }
    }
    hasher.finalize()
}
