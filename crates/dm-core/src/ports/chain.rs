use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;

use crate::token::TokenInfo;

/// The newest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Its number.
    pub number: u64,
    /// Its time in seconds since the Unix epoch.
    pub timestamp: u64,
}

/// Reads an EVM chain.
#[async_trait]
pub trait Chain: Send + Sync {
    /// EIP-155 id of the chain.
    async fn chain_id(&self) -> Result<u64, ChainError>;

    /// The newest block.
    async fn head(&self) -> Result<ChainHead, ChainError>;

    /// The chain's own coin.
    fn native_token(&self) -> TokenInfo;

    /// Balance of an account in the chain's own coin, in wei.
    async fn native_balance(&self, account: Address) -> Result<U256, ChainError>;
}

/// Why the chain did not answer as hoped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No answer, or none that makes sense: try again later.
    #[error("the chain cannot be reached: {0}")]
    Unavailable(String),
    /// The URL leads to another chain than before.
    #[error("expected chain id {expected}, found {found}")]
    WrongChain {
        /// The id that was seen first or configured.
        expected: u64,
        /// The id that is there now.
        found: u64,
    },
    /// The transaction was executed and undone, or would be.
    #[error("the transaction fails: {0}")]
    Reverted(String),
    /// The account cannot pay for the gas.
    #[error("account {account} has {balance} wei, the transaction needs {needed}")]
    InsufficientFunds {
        /// Who pays.
        account: Address,
        /// What there is.
        balance: U256,
        /// What is needed.
        needed: U256,
    },
    /// The transaction was not mined in time; it may still be.
    #[error("transaction {0} was not mined in time")]
    NotMined(B256),
    /// Signing failed, or the node refused the transaction for good.
    #[error("the transaction was refused: {0}")]
    Refused(String),
    /// The journal of transactions could not be read or written, so that it is not
    /// known what was begun: ask again under the same id.
    #[error("the journal of transactions cannot be used: {0}")]
    Journal(String),
}
