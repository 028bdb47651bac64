//! How a queue treats its chain.

use std::{sync::Arc, time::Duration};

use alloy::primitives::Address;

use crate::{config::ClientConfig, transactions::meter::TransactionMeter};

/// How the queue treats its chain.
#[derive(Debug, Clone)]
pub(crate) struct QueueConfig {
    /// Whose transactions they are.
    pub(crate) account: Address,
    /// See [`ClientConfig::confirmations`](crate::ClientConfig::confirmations).
    pub(crate) confirmations: u64,
    /// In wei.
    pub(crate) max_fee_per_gas: u128,
    /// See [`ClientConfig::replace_after`](crate::ClientConfig::replace_after).
    pub(crate) replace_after: Duration,
    /// Longest pause between two looks while something waits for a block.
    pub(crate) poll_interval: Duration,
    /// See [`ClientConfig::max_unmined`](crate::ClientConfig::max_unmined).
    pub(crate) max_unmined: u64,
    /// Counts what comes of the transactions.
    pub(crate) meter: Arc<TransactionMeter>,
}

impl QueueConfig {
    /// How an account's queue follows the client's configuration.
    pub(crate) fn new(account: Address, config: &ClientConfig, meter: Arc<TransactionMeter>) -> Self {
        Self {
            account,
            confirmations: config.confirmations,
            max_fee_per_gas: config.max_fee_per_gas,
            replace_after: config.replace_after,
            poll_interval: config.poll_interval,
            max_unmined: config.max_unmined,
            meter,
        }
    }
}
