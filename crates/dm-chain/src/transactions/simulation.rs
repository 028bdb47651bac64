//! Tries calls of the account before they become transactions.

use std::sync::Arc;

use alloy::{
    primitives::{Address, Bytes, U64, U256},
    rpc::json_rpc::ErrorPayload,
};
use dm_core::ports::ChainError;
use serde::Serialize;

use super::{
    draft::{Call, Draft, with_reserve},
    fees::price_after,
    perform::lack_of_funds,
    refusal,
};
use crate::{
    reverts::in_words,
    rpc::{Node, RpcFailure},
    wire::BlockHeader,
};

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

    fn of(account: Address, call: &Call) -> Self {
        Self {
            from: Some(account),
            to: call.to,
            input: call.input.clone(),
            value: call.value,
            gas: None,
        }
    }
}

/// Why a call cannot become a transaction.
#[derive(Debug)]
pub(crate) enum SimulationFailure {
    /// The call would be undone.
    Reverted(ErrorPayload),
    /// It could not be tried.
    Chain(ChainError),
}

impl From<SimulationFailure> for ChainError {
    fn from(failure: SimulationFailure) -> Self {
        match failure {
            SimulationFailure::Reverted(payload) => Self::Reverted(in_words(&payload)),
            SimulationFailure::Chain(error) => error,
        }
    }
}

/// Tries calls of an account.
pub(crate) struct Simulator {
    node: Arc<Node>,
    account: Address,
}

impl Simulator {
    /// For the calls of this account.
    pub(crate) fn new(node: Arc<Node>, account: Address) -> Self {
        Self { node, account }
    }

    /// Tries a call on the chain's pending state and returns the gas that it
    /// needs, with a reserve.
    pub(crate) async fn gas(&self, call: &Call) -> Result<u64, SimulationFailure> {
        let gas: U64 = self.attempt("eth_estimateGas", call).await?;
        Ok(with_reserve(gas.to()))
    }

    /// Tries a call on the chain's pending state and returns what it returns.
    pub(crate) async fn output(&self, call: &Call) -> Result<Bytes, SimulationFailure> {
        self.attempt("eth_call", call).await
    }

    /// Fails where the account could not pay for this now.
    pub(crate) async fn check_funds(&self, draft: &Draft, ceiling: u128) -> Result<(), ChainError> {
        let head: BlockHeader = self.node.read("eth_getBlockByNumber", ("latest", false)).await?;
        let fees = price_after(&self.node, &head).await?.fees(ceiling)?;
        let needed = draft.cost(fees.highest());
        let balance: U256 = self.node.read("eth_getBalance", (self.account, "latest")).await?;
        match balance >= needed {
            true => Ok(()),
            false => Err(ChainError::InsufficientFunds {
                account: self.account,
                balance,
                needed,
            }),
        }
    }

    async fn attempt<R>(&self, method: &'static str, call: &Call) -> Result<R, SimulationFailure>
    where
        R: alloy::rpc::json_rpc::RpcRecv,
    {
        let request = CallRequest::of(self.account, call);
        match self.node.read(method, (request, "pending")).await {
            Ok(answer) => Ok(answer),
            Err(RpcFailure::Refused(payload)) if refusal::is_lack_of_funds(&payload) => {
                let error = lack_of_funds(&self.node, self.account, call.value).await;
                Err(SimulationFailure::Chain(error))
            }
            Err(RpcFailure::Reverted(payload)) => Err(SimulationFailure::Reverted(payload)),
            Err(other) => Err(SimulationFailure::Chain(other.into())),
        }
    }
}
