//! What the transactions of a client come to, for whoever shows it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use alloy::primitives::B256;
use dm_core::meter::Counter;

use crate::wire::TransactionReceipt;

/// Receipts that are remembered: each is looked at until its block is final.
const MAX_SEEN: usize = 4096;

/// Counts since the start of the process, over all accounts of a client.
#[derive(Debug, Default)]
pub(crate) struct TransactionMeter {
    /// Further versions with higher fees.
    pub(crate) replaced: Counter,
    /// What the chain refused for good.
    pub(crate) refused: Counter,
    mined: Counter,
    gas: Counter,
    /// In gwei, rounded down for each transaction.
    fees: Counter,
    seen: Mutex<VecDeque<B256>>,
}

impl TransactionMeter {
    /// Counts a transaction that a block has, once.
    pub(crate) fn mined(&self, receipt: &TransactionReceipt) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(&receipt.transaction_hash) {
            return;
        }
        if seen.len() == MAX_SEEN {
            seen.pop_front();
        }
        seen.push_back(receipt.transaction_hash);
        drop(seen);
        self.mined.increment();
        let gas: u64 = receipt.gas_used.unwrap_or_default().saturating_to();
        let price: u128 = receipt.effective_gas_price.unwrap_or_default().saturating_to();
        self.gas.add(gas);
        let fee = u128::from(gas).saturating_mul(price) / 1_000_000_000;
        self.fees.add(u64::try_from(fee).unwrap_or(u64::MAX));
    }

    /// What was counted, with the transactions that wait for a block now.
    pub(crate) fn reading(&self, pending: u64) -> TransactionReading {
        TransactionReading {
            pending,
            mined: self.mined.value(),
            replaced: self.replaced.value(),
            refused: self.refused.value(),
            gas: self.gas.value(),
            fees_gwei: self.fees.value(),
        }
    }
}

/// How the transactions of a client get on. All but `pending` count from the start of the
/// process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionReading {
    /// Transactions that wait for a block now.
    pub pending: u64,
    /// Transactions that a block has.
    pub mined: u64,
    /// Further versions with higher fees.
    pub replaced: u64,
    /// Transactions that the chain refused for good.
    pub refused: u64,
    /// Gas that was used.
    pub gas: u64,
    /// Fees that were paid for it, in gwei; 0 where the chain does not say the price.
    pub fees_gwei: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn receipt(hash: u8) -> TransactionReceipt {
        let receipt = json!({
            "transactionHash": B256::repeat_byte(hash),
            "blockNumber": "0x1",
            "status": "0x1",
            "logs": [],
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x77359400",
        });
        serde_json::from_value(receipt).unwrap()
    }

    #[test]
    fn a_receipt_that_is_looked_at_again_costs_nothing_again() {
        let meter = TransactionMeter::default();
        for hash in [1, 2, 1, 1] {
            meter.mined(&receipt(hash));
        }
        let reading = meter.reading(3);
        assert_eq!((reading.pending, reading.mined), (3, 2));
        assert_eq!((reading.gas, reading.fees_gwei), (42_000, 84_000));
    }
}
