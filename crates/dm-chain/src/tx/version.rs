//! A transaction with its nonce and its price: to be signed, and signed.

use alloy::primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};

use super::{Draft, Fees};

/// A transaction to be signed.
#[derive(Debug, Clone)]
pub(crate) struct SigningJob {
    pub(crate) draft: Draft,
    pub(crate) nonce: u64,
    pub(crate) fees: Fees,
}

/// One way in which the chain may get it: signed with its nonce and a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) hash: B256,
    pub(crate) bytes: Bytes,
    pub(crate) fees: Fees,
}
