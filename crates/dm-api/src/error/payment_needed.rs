//! What a client must know to make a payment possible.

use dm_core::{Address, U256, address::checksummed};
use serde::Serialize;

/// What a client must know to make a payment possible.
#[derive(Debug, Serialize)]
pub(super) struct PaymentNeeded {
    #[serde(serialize_with = "checksummed")]
    pub(super) account: Address,
    #[serde(serialize_with = "checksummed")]
    pub(super) token: Address,
    #[serde(serialize_with = "decimal")]
    pub(super) amount: U256,
    #[serde(serialize_with = "decimal")]
    pub(super) balance: U256,
    #[serde(serialize_with = "decimal")]
    pub(super) allowance: U256,
}

fn decimal<S: serde::Serializer>(amount: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}
