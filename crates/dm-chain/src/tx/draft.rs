//! What a transaction shall do, before it has a nonce and a price.

use alloy::primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use super::Call;

/// Gas that a transaction which calls nothing costs on Ethereum
/// ([EIP-2](https://eips.ethereum.org/EIPS/eip-2)).
pub(crate) const EMPTY_GAS: u64 = 21_000;
/// Most gas of an empty transaction: more than any known chain wants for one.
const MAX_EMPTY_GAS: u64 = 1_000_000;
/// Most gas of a transaction on many chains
/// ([EIP-7825](https://eips.ethereum.org/EIPS/eip-7825)).
const MAX_GAS: u64 = 1 << 24;

/// The gas limit for a call that needs so much: a quarter more, since the state
/// may change until a block has it, but not so much that a chain refuses what fits.
pub(crate) fn with_reserve(needed: u64) -> u64 {
    let reserved = needed.saturating_add(needed / 4);
    match needed <= MAX_GAS {
        true => reserved.min(MAX_GAS),
        false => reserved,
    }
}

/// A call that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draft {
    /// The call.
    pub(crate) call: Call,
    /// Gas that it may use.
    pub(crate) gas_limit: u64,
    /// What somebody gets by it.
    pub(crate) transfer: ExpectedTransfer,
}

impl Draft {
    /// A call by which nobody gets anything.
    pub(crate) fn without_transfer(call: Call, gas_limit: u64) -> Self {
        Self {
            call,
            gas_limit,
            transfer: ExpectedTransfer::Nothing,
        }
    }

    /// A transaction of this account that uses up the nonce of one that is given up.
    ///
    /// Rollups charge more than Ethereum for the same transaction, so the gas limit
    /// is what the chain has asked for the operation, which cannot be too little. Gas
    /// that is not used costs nothing; but the limit must stay below the cap that may
    /// be the reason of the refusal.
    pub(crate) fn in_place_of(given_up: &Self, account: Address) -> Self {
        let gas_limit = given_up.gas_limit.clamp(EMPTY_GAS, MAX_EMPTY_GAS);
        Self::without_transfer(Call::nothing(account), gas_limit)
    }

    /// What it may cost at most, in wei, with this fee for each gas.
    pub(crate) fn cost(&self, fee: u128) -> U256 {
        U256::from(self.gas_limit)
            .saturating_mul(U256::from(fee))
            .saturating_add(self.call.value)
    }
}

/// What somebody gets by a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExpectedTransfer {
    /// Nobody gets anything.
    Nothing,
    /// The receiver gets the value that is sent along.
    Coin(U256),
    /// Somebody gets what the token's events say.
    Tokens {
        /// The token's contract.
        token: Address,
        /// Who gets them.
        receiver: Address,
    },
}
