//! The handover to another operator account: what it needs of the chain and of the keys.

use std::sync::Arc;

use alloy_primitives::Address;
use async_trait::async_trait;

use super::{ChainError, Signer};
use crate::secret::SecretString;

/// Hands this node's log on the chain over to another operator account.
#[async_trait]
pub trait OperatorHandover: Send + Sync {
    /// The account that anchors, pays and is paid: the operator account.
    fn operator(&self) -> Address;

    /// Fails where the log could not be handed over to this account, or the
    /// account could not pay for a transaction.
    ///
    /// # Errors
    /// [`ChainError`], with what is missing.
    async fn check_successor(&self, account: Address) -> Result<(), ChainError>;

    /// Hands the log over by a transaction of the present operator account, waits
    /// until it is mined, and acts as the successor from then on. What the
    /// account before has begun goes on under its own name. Where the chain shows
    /// that the successor controls the log already, nothing is sent.
    ///
    /// # Errors
    /// [`ChainError`]; then the operator account is the same, and the
    /// transaction may still be mined: try again.
    async fn hand_over(&self, successor: Arc<dyn Signer>) -> Result<(), ChainError>;

    /// Acts as this account from now on, to which another instance has handed the log over.
    fn act_as(&self, operator: Arc<dyn Signer>);
}

/// Where the operator account's key is kept. Methods block while they write.
pub trait OperatorKeys: Send + Sync {
    /// The account that acts on the chain now: the node's own until its log is handed over.
    fn operator(&self) -> Arc<dyn Signer>;

    /// The account that a private key (64 hexadecimal digits) belongs to.
    ///
    /// # Errors
    /// [`OperatorKeyError::Invalid`].
    fn account_of(&self, private_key: &SecretString) -> Result<Address, OperatorKeyError>;

    /// Keeps the key, durably, as that of the account to which the log is about to be
    /// handed over.
    ///
    /// # Errors
    /// [`OperatorKeyError`]; then nothing has changed.
    fn keep_successor(&self, private_key: &SecretString) -> Result<Arc<dyn Signer>, OperatorKeyError>;

    /// The account to which the log is being handed over.
    fn successor(&self) -> Option<Arc<dyn Signer>>;

    /// The handover is mined: the successor is the operator account from now on.
    /// The key before is kept, for what it has begun and issued.
    ///
    /// # Errors
    /// [`OperatorKeyError::Failed`] where that cannot be written.
    fn confirm_successor(&self) -> Result<(), OperatorKeyError>;
}

/// Why the operator account's key is what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorKeyError {
    /// The text is no private key.
    #[error("must be 64 hexadecimal digits")]
    Invalid,
    /// Another handover is not finished.
    #[error("cannot be used: the log is being handed over to {0}")]
    UnderWay(Address),
    /// The key file could not be read or written.
    #[error("cannot be kept: {0}")]
    Failed(String),
}
