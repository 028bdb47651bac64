//! What can be set about transactions and payments.

use serde::Deserialize;

/// Transactions on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChainConfig {
    /// The most that is paid for each gas, in gwei (10^9 wei). While the chain
    /// asks for more, transactions wait.
    pub max_fee_gwei: u64,
    /// Seconds after which a transaction that is not mined is replaced by one
    /// with a higher fee, if the chain asks for more than it pays.
    pub replace_after_secs: u64,
    /// Blocks on top of a transaction's own after which it counts as final.
    pub confirmations: u64,
    /// Transactions that may wait to be mined at the same time.
    pub max_in_flight: usize,
    /// Seconds that the chain may stand at one block before the node says that it
    /// is degraded; 0 for chains that make blocks on demand alone.
    pub stall_after_secs: u64,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self {
            max_fee_gwei: 500,
            replace_after_secs: 30,
            confirmations: 12,
            max_in_flight: 4096,
            stall_after_secs: 900,
        }
    }
}

/// Payments for shares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentsConfig {
    /// Seconds that a request waits for its transaction to be mined.
    pub patience_secs: u64,
    /// Seconds that a payment waits for its share before it is given back.
    pub refund_after_secs: u64,
}

impl Default for PaymentsConfig {
    fn default() -> Self {
        Self {
            patience_secs: 30,
            refund_after_secs: 3600,
        }
    }
}
