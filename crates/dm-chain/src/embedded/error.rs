use dm_core::ports::StoreError;
use revm::database_interface::DBErrorMarker;

/// Why the embedded chain cannot be opened, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedChainError {
    /// The store that keeps the chain failed.
    #[error("the chain's store failed: {0}")]
    Store(#[from] StoreError),
    /// What the store holds cannot be read; restore it from a backup.
    #[error("the stored chain is damaged: {0}")]
    Damaged(&'static str),
    /// The store keeps another chain than the one that is wanted.
    #[error("the store keeps chain {found}, wanted is chain {expected}")]
    WrongChain {
        /// The chain id that was asked for.
        expected: u64,
        /// The chain id of the stored chain.
        found: u64,
    },
    /// The operating system gave no thread for mining.
    #[error("cannot start the mining thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl DBErrorMarker for EmbeddedChainError {}
