//! Deploys the anchor contract where a chain does not have it.

use std::sync::{Arc, Mutex, PoisonError};

use alloy::primitives::{Address, Bytes};
use dm_core::ports::ChainError;
use tokio::sync::OnceCell;

use crate::{
    contract::{DEPLOYMENT_PROXY, anchor_contract, deployment_input},
    rpc::Node,
    transactions::Transactions,
    tx::{Call, Draft},
};

/// Remembers that the contract is deployed, and sees to it once where it is not.
#[derive(Default)]
pub(crate) struct Deployment {
    done: Mutex<Arc<OnceCell<()>>>,
}

impl Deployment {
    /// Returns once the contract is there. Callers at the same time share one
    /// deployment.
    ///
    /// # Errors
    /// [`ChainError::Refused`] where the chain lacks the deployment proxy.
    pub(crate) async fn ensure(&self, node: &Node, transactions: &Transactions) -> Result<(), ChainError> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).clone();
        done.get_or_try_init(|| deploy(node, transactions)).await?;
        Ok(())
    }

    /// The contract turned out not to be there: the chain was reset or reorganised.
    pub(crate) fn forget(&self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }
}

async fn deploy(node: &Node, transactions: &Transactions) -> Result<(), ChainError> {
    if has_code(node, anchor_contract()).await? {
        return Ok(());
    }
    if !has_code(node, DEPLOYMENT_PROXY).await? {
        return Err(ChainError::Refused(format!(
            "the chain has neither the anchor contract nor the deployment proxy {DEPLOYMENT_PROXY} to deploy it with"
        )));
    }
    tracing::info!(contract = %anchor_contract(), "deploying the anchor contract");
    let call = Call::with_input(DEPLOYMENT_PROXY, deployment_input());
    let outcome = send_and_wait(transactions, call).await;
    // Another node may have been faster; then the own transaction fails, and all is well.
    if matches!(outcome, Ok(()) | Err(ChainError::Reverted(_))) && has_code(node, anchor_contract()).await? {
        return Ok(());
    }
    outcome.and(Err(ChainError::Reverted(
        "the anchor contract could not be deployed".to_owned(),
    )))
}

async fn send_and_wait(transactions: &Transactions, call: Call) -> Result<(), ChainError> {
    let gas_limit = transactions.simulator().gas(&call).await?;
    let hash = transactions
        .send(Draft::without_transfer(call, gas_limit))
        .await?;
    transactions.wait(hash).await?;
    Ok(())
}

/// Whether a contract is at this address.
pub(crate) async fn has_code(node: &Node, address: Address) -> Result<bool, ChainError> {
    let code: Bytes = node.read("eth_getCode", (address, "latest")).await?;
    Ok(!code.is_empty())
}
