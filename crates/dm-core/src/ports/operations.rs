use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;

use super::ChainError;
use crate::operation::{Operation, OperationId};

/// Transactions of the operator account, each done at most once, whatever
/// happens to the node or the chain in between.
#[async_trait]
pub trait Operations: Send + Sync {
    /// The account that acts and pays for the gas.
    fn operator(&self) -> Address;

    /// Whether this is the operator account, or one that was it before and can still act.
    fn can_act_as(&self, account: Address) -> bool;

    /// Tries an operation on the chain's pending state and sends nothing.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] where it would be undone,
    /// [`ChainError::InsufficientFunds`] where the operator cannot pay for it,
    /// gas included.
    async fn check(&self, operation: &Operation) -> Result<(), ChainError>;

    /// Begins an operation, unless one was begun under this id before: then
    /// nothing is done, and the hash is that of the first. When this returns
    /// the operation is durable: it goes to the chain now or when that is back,
    /// also after a restart, and its transactions all bear one nonce, so that no
    /// two of them can be mined.
    ///
    /// The hash is that of its newest transaction; one that waits too long is
    /// replaced by one with a higher fee and another hash.
    ///
    /// # Errors
    /// As [`Operations::check`]; then nothing was begun, and nothing will happen.
    /// After [`ChainError::Journal`] it is not known whether it was: who begins it
    /// again under the same id finds out, and it happens at most once.
    async fn begin(&self, id: OperationId, operation: &Operation) -> Result<B256, ChainError>;

    /// As [`Operations::begin`], by an account that
    /// [can act](Operations::can_act_as).
    ///
    /// # Errors
    /// As [`Operations::begin`], and [`ChainError::Refused`] where the account
    /// cannot act.
    async fn begin_as(
        &self,
        account: Address,
        id: OperationId,
        operation: &Operation,
    ) -> Result<B256, ChainError>;

    /// How far an operation has come; `None` where none was begun under this id.
    async fn state(&self, id: OperationId) -> Result<Option<OperationState>, ChainError>;

    /// Waits until an operation is mined or given up, no longer than `patience`,
    /// and says how far it has come then. Waiting holds nothing else up.
    async fn wait(&self, id: OperationId, patience: Duration) -> Result<Option<OperationState>, ChainError>;

    /// Takes note of what other instances have begun with the same accounts. Without it, an
    /// operation of theirs may be unknown here; it happens once all the same.
    ///
    /// # Errors
    /// [`ChainError::Unavailable`] where nobody carries operations out any more.
    async fn read_anew(&self) -> Result<(), ChainError> {
        Ok(())
    }

    /// Forgets an operation that is final. Whoever began it has noted what came
    /// of it and will never begin it again. Others stay.
    async fn conclude(&self, id: OperationId) -> Result<(), ChainError>;
}

/// How far an operation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationState {
    /// It is durable, and no block has it (any more).
    Pending {
        /// Its newest transaction.
        tx_hash: B256,
    },
    /// A block has it.
    Mined(MinedOperation),
    /// It was given up and moves nothing: the chain refuses it for good and an
    /// empty transaction has its nonce, or the chain began anew before a block had it.
    Refused {
        /// Its newest transaction, which no block has.
        tx_hash: B256,
        /// Why, as the chain says it.
        reason: String,
        /// Whether a reorganisation is no longer expected to change that.
        is_final: bool,
    },
}

impl OperationState {
    /// Whether nothing can change it any more.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Pending { .. } => false,
            Self::Mined(mined) => mined.is_final,
            Self::Refused { is_final, .. } => *is_final,
        }
    }
}

/// An operation that a block has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinedOperation {
    /// The transaction that was mined.
    pub tx_hash: B256,
    /// Number of the block.
    pub block: u64,
    /// Whether it did what it should; else it was undone, and only gas was paid.
    pub succeeded: bool,
    /// What its receiver got, by the token's `Transfer` events, in the
    /// token's smallest unit: less than was asked for where a token keeps a fee,
    /// nothing where it lies. Zero for operations that move nothing.
    pub received: U256,
    /// The contract that it made, if it made one.
    pub contract: Option<Address>,
    /// Whether it has the confirmations after which a reorganisation is no
    /// longer expected.
    pub is_final: bool,
}
