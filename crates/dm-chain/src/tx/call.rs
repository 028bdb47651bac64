//! What an account tells a contract or another account to do.

use alloy::primitives::{Address, Bytes, U64, U256};
use serde::{Deserialize, Serialize};

/// What a transaction shall do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The contract, or who is paid; `None` makes a contract.
    pub(crate) to: Option<Address>,
    /// Selector and arguments, or the code of the contract.
    pub(crate) input: Bytes,
    /// Wei that are sent along.
    pub(crate) value: U256,
}

impl Call {
    /// A call that does nothing: the account pays itself nothing.
    pub(crate) fn nothing(account: Address) -> Self {
        Self::with_input(account, Bytes::new())
    }

    /// A call that sends no coins along.
    pub(crate) fn with_input(to: Address, input: Bytes) -> Self {
        Self {
            to: Some(to),
            input,
            value: U256::ZERO,
        }
    }
}

/// A call in the form of `eth_call` and `eth_estimateGas`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CallRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Address>,
    pub(crate) input: Bytes,
    #[serde(skip_serializing_if = "U256::is_zero")]
    pub(crate) value: U256,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gas: Option<U64>,
}

impl CallRequest {
    /// A call of a contract by nobody, for what it returns.
    pub(crate) fn view(to: Address, input: Bytes) -> Self {
        Self {
            from: None,
            to: Some(to),
            input,
            value: U256::ZERO,
            gas: None,
        }
    }

    /// This call by an account.
    pub(crate) fn of(account: Address, call: &Call) -> Self {
        Self {
            from: Some(account),
            to: call.to,
            input: call.input.clone(),
            value: call.value,
            gas: None,
        }
    }
}
