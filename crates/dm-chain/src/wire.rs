//! The parts of a chain's answers that are used. What else stands there differs
//! between chains and is not looked at.

use alloy::primitives::{Address, B256, Bytes, U64, U128, U256};
use serde::{Deserialize, Deserializer};

/// Header of a block.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockHeader {
    pub(crate) number: U64,
    #[serde(default)]
    pub(crate) hash: Option<B256>,
    pub(crate) timestamp: U64,
    /// Wei for each gas; chains without EIP-1559 have none.
    #[serde(default)]
    pub(crate) base_fee_per_gas: Option<U128>,
}

/// What stands in a block.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BlockContent {
    pub(crate) timestamp: U64,
    /// The hashes of its transactions.
    pub(crate) transactions: Vec<B256>,
}

/// Receipt of a transaction.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionReceipt {
    pub(crate) transaction_hash: B256,
    /// Absent while the transaction waits, on chains that say so by a receipt.
    #[serde(default)]
    pub(crate) block_number: Option<U64>,
    #[serde(default)]
    pub(crate) block_hash: Option<B256>,
    pub(crate) status: U64,
    /// For those who watch the costs; nothing is decided by it.
    #[serde(default, deserialize_with = "quantity_if_any")]
    pub(crate) gas_used: Option<U256>,
    /// In wei, likewise.
    #[serde(default, deserialize_with = "quantity_if_any")]
    pub(crate) effective_gas_price: Option<U256>,
    pub(crate) logs: Vec<Log>,
}

/// A quantity that nothing rests on: one that cannot be read is none.
fn quantity_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<U256>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

impl TransactionReceipt {
    /// Whether the transaction did what it should, and was not undone.
    pub(crate) fn succeeded(&self) -> bool {
        self.status == U64::from(1)
    }
}

/// Log entry of a contract.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    #[serde(default)]
    pub(crate) transaction_hash: Option<B256>,
}

/// What transactions paid in the newest blocks.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct FeeHistory {
    /// Wei for each gas beside the base fee, of each block, at each percentile.
    #[serde(default)]
    pub(crate) reward: Vec<Vec<U128>>,
}
