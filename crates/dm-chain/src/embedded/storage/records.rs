//! How the parts of the chain are written: postcard around the encodings that
//! Ethereum itself defines (RLP headers, EIP-2718 transactions).

use alloy::{
    consensus::{Header, TxEnvelope, transaction::Recovered},
    eips::eip2718::{Decodable2718, Encodable2718},
    primitives::{Address, B256, Bytes, Log, U256},
    rlp::Decodable,
};
use revm::state::AccountInfo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::embedded::{
    EmbeddedChainError,
    block::{Block, MinedTransaction},
};

/// Which chain the store keeps, and how far it has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HeadRecord {
    pub chain_id: u64,
    pub number: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AccountRecord {
    nonce: u64,
    balance: U256,
    code_hash: B256,
}

impl From<&AccountInfo> for AccountRecord {
    fn from(info: &AccountInfo) -> Self {
        Self {
            nonce: info.nonce,
            balance: info.balance,
            code_hash: info.code_hash,
        }
    }
}

impl From<AccountRecord> for AccountInfo {
    fn from(record: AccountRecord) -> Self {
        Self {
            nonce: record.nonce,
            balance: record.balance,
            code_hash: record.code_hash,
            account_id: None,
            code: None,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct BlockRecord {
    hash: B256,
    header: Bytes,
    size: u64,
}

impl From<&Block> for BlockRecord {
    fn from(block: &Block) -> Self {
        Self {
            hash: block.hash,
            header: alloy::rlp::encode(&block.header).into(),
            size: block.size,
        }
    }
}

impl TryFrom<BlockRecord> for Block {
    type Error = EmbeddedChainError;

    fn try_from(record: BlockRecord) -> Result<Self, Self::Error> {
        let header = Header::decode(&mut record.header.as_ref())
            .map_err(|_| EmbeddedChainError::Damaged("a block header"))?;
        Ok(Self {
            header,
            hash: record.hash,
            size: record.size,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct TransactionRecord {
    sender: Address,
    raw: Bytes,
    success: bool,
    gas_used: u64,
    cumulative_gas_used: u64,
    contract: Option<Address>,
    first_log: u64,
    logs: Vec<LogRecord>,
}

/// A log's address, topics and data.
type LogRecord = (Address, Vec<B256>, Bytes);

impl From<&MinedTransaction> for TransactionRecord {
    fn from(mined: &MinedTransaction) -> Self {
        Self {
            sender: mined.transaction.signer(),
            raw: mined.transaction.inner().encoded_2718().into(),
            success: mined.success,
            gas_used: mined.gas_used,
            cumulative_gas_used: mined.cumulative_gas_used,
            contract: mined.contract,
            first_log: mined.first_log,
            logs: mined
                .logs
                .iter()
                .map(|log| (log.address, log.topics().to_vec(), log.data.data.clone()))
                .collect(),
        }
    }
}

impl TryFrom<TransactionRecord> for MinedTransaction {
    type Error = EmbeddedChainError;

    fn try_from(record: TransactionRecord) -> Result<Self, Self::Error> {
        let transaction = TxEnvelope::decode_2718_exact(&record.raw)
            .map_err(|_| EmbeddedChainError::Damaged("a transaction"))?;
        Ok(Self {
            transaction: Recovered::new_unchecked(transaction, record.sender),
            success: record.success,
            gas_used: record.gas_used,
            cumulative_gas_used: record.cumulative_gas_used,
            contract: record.contract,
            first_log: record.first_log,
            logs: record
                .logs
                .into_iter()
                .map(|(address, topics, data)| Log::new_unchecked(address, topics, data))
                .collect(),
        })
    }
}

pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, EmbeddedChainError> {
    postcard::to_stdvec(record).map_err(|_| EmbeddedChainError::Damaged("a record that cannot be written"))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, EmbeddedChainError> {
    postcard::from_bytes(bytes).map_err(|_| EmbeddedChainError::Damaged(what))
}
