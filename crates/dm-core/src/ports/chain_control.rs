use async_trait::async_trait;

use super::ChainError;
use crate::secret::SecretString;

/// Moves a running node to other endpoints of its chain.
#[async_trait]
pub trait ChainControl: Send + Sync {
    /// Uses these JSON-RPC endpoints from now on, the preferred one first, once
    /// each has shown that it leads to the same chain. What waits to be sent,
    /// mined or anchored goes on there.
    ///
    /// # Errors
    /// [`ChainSwitchError`]; then nothing has changed.
    async fn switch(
        &self,
        urls: &[String],
        private_key: Option<&SecretString>,
    ) -> Result<(), ChainSwitchError>;
}

/// Why a node stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainSwitchError {
    /// The text is no URL of a JSON-RPC endpoint, with a reason that completes
    /// "`blockchain_url` …".
    #[error("blockchain_url {0}")]
    Url(String),
    /// The key is not that of the operator account, with a reason that
    /// completes "`private_key` …".
    #[error("private_key {0}")]
    Key(String),
    /// The endpoint does not answer, or leads to another chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
}
