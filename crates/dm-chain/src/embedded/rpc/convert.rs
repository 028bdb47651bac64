//! Mined transactions as the JSON-RPC types of alloy.

use alloy::{
    consensus::Transaction,
    rpc::types::{self, Log, TransactionReceipt},
};

use crate::embedded::block::{Block, MinedTransaction};

pub(super) fn transaction(mined: MinedTransaction, block: &Block, index: u32) -> types::Transaction {
    let place = mined.place(block, index);
    types::Transaction::from_transaction(mined.transaction, place)
}

pub(super) fn receipt(mined: &MinedTransaction, block: &Block, index: u32) -> TransactionReceipt {
    let logs = logs(mined, block, index);
    TransactionReceipt {
        inner: mined.receipt_with(logs),
        transaction_hash: *mined.transaction.inner().tx_hash(),
        transaction_index: Some(index.into()),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        gas_used: mined.gas_used,
        effective_gas_price: mined.effective_gas_price(block.base_fee()),
        blob_gas_used: None,
        blob_gas_price: None,
        from: mined.transaction.signer(),
        to: mined.transaction.to(),
        contract_address: mined.contract,
    }
}

/// The logs of a transaction with their places in the chain.
pub(super) fn logs(mined: &MinedTransaction, block: &Block, index: u32) -> Vec<Log> {
    let log = |(log_index, log): (u64, &alloy::primitives::Log)| Log {
        inner: log.clone(),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(*mined.transaction.inner().tx_hash()),
        transaction_index: Some(index.into()),
        log_index: Some(log_index),
        removed: false,
    };
    (mined.first_log..).zip(&mined.logs).map(log).collect()
}
