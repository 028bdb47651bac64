use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

/// The blocks by which a chain is known again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Landmarks {
    /// The hash of block 0.
    pub(crate) genesis: Option<B256>,
    /// A block far below the head: chains that begin from one file have the same
    /// block 0.
    pub(crate) deep: Option<(u64, B256)>,
}
