//! What can be set about a client.

use std::time::Duration;

use alloy::primitives::Address;
use dm_core::token::{NATIVE_TOKEN, TokenInfo, TokenKind};

/// How a client treats its chain: the default, with some fields set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// EIP-155 id that the chain must have; else the one that it has first.
    pub chain_id: Option<u64>,
    /// Whose log is anchored; else the account's own. One that was handed over
    /// to the account keeps the name of whom it belongs to.
    pub log: Option<Address>,
    /// The chain's own coin.
    pub native_token: TokenInfo,
    /// Longest wait for the answer to one request.
    pub request_timeout: Duration,
    /// Longest wait for a read, all attempts together: after this time a chain
    /// counts as away.
    pub patience: Duration,
    /// Longest pause between two looks for a transaction that is not mined yet.
    /// The first pauses are shorter, so that a chain that mines at once costs
    /// no waiting.
    pub poll_interval: Duration,
    /// How long to wait for an anchor to be mined.
    pub mining_timeout: Duration,
    /// Blocks on top of a transaction's own after which a reorganisation is no
    /// longer expected; 0 for chains that never reorganise, such as the embedded one.
    pub confirmations: u64,
    /// The most that a transaction may offer for one gas, in wei.
    pub max_fee_per_gas: u128,
    /// A transaction that is not mined after this time is replaced by one that
    /// pays more, where it offers less than the chain asks by then.
    pub replace_after: Duration,
    /// How long the chain may stand at one block before that counts as trouble;
    /// `None` for chains that make blocks on demand alone, such as the embedded one.
    pub stall_after: Option<Duration>,
    /// Transactions of the account that the chain gets before one of them is
    /// mined; others wait.
    pub max_unmined: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            chain_id: None,
            log: None,
            native_token: TokenInfo {
                address: NATIVE_TOKEN,
                kind: TokenKind::Native,
                symbol: "ETH".to_owned(),
                name: "Ether".to_owned(),
                decimals: 18,
            },
            request_timeout: Duration::from_secs(2),
            patience: Duration::from_secs(4),
            poll_interval: Duration::from_millis(500),
            mining_timeout: Duration::from_secs(120),
            confirmations: 12,
            max_fee_per_gas: 500_000_000_000,
            replace_after: Duration::from_secs(30),
            stall_after: Some(Duration::from_secs(900)),
            max_unmined: 4096,
        }
    }
}
