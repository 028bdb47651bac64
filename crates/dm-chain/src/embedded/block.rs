use alloy::{
    consensus::{
        BlockBody, Eip658Value, Header, Receipt, ReceiptEnvelope, Transaction, TxEnvelope, TxType,
        transaction::{Recovered, TransactionInfo},
    },
    eips::eip1559::{BaseFeeParams, calc_next_block_base_fee},
    primitives::{Address, B256, Log},
};

/// A block without its transactions.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) header: Header,
    pub(super) hash: B256,
    /// Bytes of the whole block in RLP.
    pub(super) size: u64,
}

impl Block {
    /// A block whose hash is that of its header.
    pub(super) fn seal(header: Header, transactions: &[MinedTransaction]) -> Self {
        let hash = header.hash_slow();
        let transactions = transactions
            .iter()
            .map(|mined| mined.transaction.inner().clone())
            .collect();
        let body = BlockBody {
            transactions,
            ommers: Vec::new(),
            withdrawals: Some(Default::default()),
        };
        let whole: alloy::consensus::Block<TxEnvelope> = alloy::consensus::Block { header, body };
        let size = alloy::rlp::Encodable::length(&whole) as u64;
        Self {
            header: whole.header,
            hash,
            size,
        }
    }

    /// Wei per gas that are burned in this block.
    pub(super) fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or_default()
    }

    /// Wei per gas that will be burned in the next block (EIP-1559).
    pub(super) fn next_base_fee(&self) -> u64 {
        let Header {
            gas_used, gas_limit, ..
        } = self.header;
        calc_next_block_base_fee(gas_used, gas_limit, self.base_fee(), BaseFeeParams::ethereum())
    }
}

/// A transaction that was executed, with what came of it.
#[derive(Debug, Clone)]
pub(super) struct MinedTransaction {
    pub(super) transaction: Recovered<TxEnvelope>,
    pub(super) success: bool,
    pub(super) gas_used: u64,
    /// Gas of this transaction and all before it in the block.
    pub(super) cumulative_gas_used: u64,
    /// The contract that was created.
    pub(super) contract: Option<Address>,
    /// Number of logs of the transactions before it in the block.
    pub(super) first_log: u64,
    pub(super) logs: Vec<Log>,
}

impl MinedTransaction {
    /// The receipt as it goes into the receipts root (EIP-2718, EIP-658).
    pub(super) fn receipt(&self) -> ReceiptEnvelope {
        self.receipt_with(self.logs.clone())
    }

    /// The receipt around logs that know their place.
    pub(super) fn receipt_with<T: AsRef<Log>>(&self, logs: Vec<T>) -> ReceiptEnvelope<T> {
        let logs_bloom = alloy::primitives::logs_bloom(logs.iter().map(AsRef::as_ref));
        let status = Eip658Value::Eip658(self.success);
        let receipt = Receipt {
            status,
            cumulative_gas_used: self.cumulative_gas_used,
            logs,
        };
        let receipt = alloy::consensus::ReceiptWithBloom { receipt, logs_bloom };
        match self.transaction.tx_type() {
            TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
            TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
            TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
            TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
            TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
        }
    }

    /// Wei per gas that the sender paid in a block with this base fee.
    pub(super) fn effective_gas_price(&self, base_fee: u64) -> u128 {
        self.transaction.inner().effective_gas_price(Some(base_fee))
    }

    /// Wei per gas that the miner got in a block with this base fee.
    pub(super) fn tip(&self, base_fee: u64) -> u128 {
        self.transaction
            .inner()
            .effective_tip_per_gas(base_fee)
            .unwrap_or_default()
    }

    /// Where the transaction stands in the chain.
    pub(super) fn place(&self, block: &Block, index: u32) -> TransactionInfo {
        TransactionInfo {
            hash: Some(*self.transaction.inner().tx_hash()),
            index: Some(index.into()),
            block_hash: Some(block.hash),
            block_number: Some(block.header.number),
            base_fee: block.header.base_fee_per_gas,
            block_timestamp: Some(block.header.timestamp),
        }
    }
}
