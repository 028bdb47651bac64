use alloy_primitives::Address;
use async_trait::async_trait;

use super::{ChainError, ComplianceError};
use crate::secret::SecretString;

/// Moves a running node to other endpoints of its chain, or to another account there.
#[async_trait]
pub trait ChainControl: Send + Sync {
    /// Uses these JSON-RPC endpoints from now on, the preferred one first, once
    /// each has shown that it leads to the same chain; where none is given, those that
    /// it has. What waits to be sent, mined or anchored goes on there. Then the
    /// account of `private_key`, if one is given, becomes the operator account, which
    /// the chain has seen when this returns. Returns the operator account.
    ///
    /// # Errors
    /// [`ChainSwitchError`]; then nothing has changed, but where the chain fails after
    /// the key was accepted, the handover goes on.
    async fn switch(
        &self,
        urls: &[String],
        private_key: Option<&SecretString>,
    ) -> Result<Address, ChainSwitchError>;
}

/// Why a node stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum ChainSwitchError {
    /// The text is no URL of a JSON-RPC endpoint, with a reason that completes
    /// "`blockchain_url` …".
    #[error("blockchain_url {0}")]
    Url(String),
    /// The key cannot be used, with a reason that completes "`private_key` …".
    #[error("private_key {0}")]
    Key(String),
    /// The endpoint does not answer, or leads to another chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The handover to the key's account is refused, or the chain does not answer.
    #[error("the handover to another account: {0}")]
    HandOver(ChainError),
    /// The change could not be recorded.
    #[error(transparent)]
    Log(#[from] ComplianceError),
}
