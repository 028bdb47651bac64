//! Tries calls of the account before they become transactions.

use std::sync::Arc;

use alloy::primitives::{Address, Bytes, U64, U256};
use dm_core::ports::ChainError;

use super::{price::price_after, rejection};
use crate::{
    rpc::{Node, RpcFailure},
    tx::{Call, CallRequest, Draft, with_reserve},
    wire::BlockHeader,
};

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
    ///
    /// # Errors
    /// [`ChainError::Reverted`] where the call would be undone.
    pub(crate) async fn gas(&self, call: &Call) -> Result<u64, ChainError> {
        let gas: U64 = self.attempt("eth_estimateGas", call).await?;
        Ok(with_reserve(gas.to()))
    }

    /// Tries a call on the chain's pending state and returns what it returns.
    pub(crate) async fn output(&self, call: &Call) -> Result<Bytes, ChainError> {
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

    async fn attempt<R>(&self, method: &'static str, call: &Call) -> Result<R, ChainError>
    where
        R: alloy::rpc::json_rpc::RpcRecv,
    {
        let request = CallRequest::of(self.account, call);
        match self.node.read(method, (request, "pending")).await {
            Ok(answer) => Ok(answer),
            Err(RpcFailure::Refused(payload)) if rejection::is_lack_of_funds(&payload) => {
                Err(lack_of_funds(&self.node, self.account, call.value).await)
            }
            Err(other) => Err(other.into()),
        }
    }
}

/// The error that an account has less than it needs.
async fn lack_of_funds(node: &Node, account: Address, needed: U256) -> ChainError {
    match node.read("eth_getBalance", (account, "latest")).await {
        Ok(balance) => ChainError::InsufficientFunds {
            account,
            balance,
            needed,
        },
        Err(failure) => failure.into(),
    }
}
