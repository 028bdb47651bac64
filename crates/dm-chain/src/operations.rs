//! The port `Operations`: what the operator account does, each at most once.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use dm_core::{
    operation::{Operation, OperationId},
    ports::{ChainError, OperationState, Operations},
};

use crate::{
    backend::{call_of, expected_transfer, returns_success},
    client::EvmClient,
    tokens::word,
    transactions::Transactions,
    tx::{Call, Draft},
};

#[async_trait]
impl Operations for EvmClient {
    fn operator(&self) -> Address {
        self.account()
    }

    fn can_act_as(&self, account: Address) -> bool {
        self.accounts.find(account).is_some()
    }

    async fn check(&self, operation: &Operation) -> Result<(), ChainError> {
        let account = self.account_for(operation).await?;
        let draft = self.draft(operation, &account).await?;
        account.check_funds(&draft).await
    }

    async fn begin(&self, id: OperationId, operation: &Operation) -> Result<B256, ChainError> {
        if let Some(hash) = self.begun(id).await? {
            return Ok(hash);
        }
        let account = self.account_for(operation).await?;
        let draft = self.draft(operation, &account).await?;
        account.begin(id, draft).await
    }

    async fn begin_as(
        &self,
        account: Address,
        id: OperationId,
        operation: &Operation,
    ) -> Result<B256, ChainError> {
        if let Some(hash) = self.begun(id).await? {
            return Ok(hash);
        }
        let account = self.accounts.find(account).ok_or_else(|| {
            ChainError::Refused(format!(
                "{account} is none of the accounts that this node acts as"
            ))
        })?;
        let draft = self.draft(operation, &account).await?;
        account.begin(id, draft).await
    }

    async fn state(&self, id: OperationId) -> Result<Option<OperationState>, ChainError> {
        self.accounts.that_began(id).await?.state(id, None).await
    }

    async fn wait(&self, id: OperationId, patience: Duration) -> Result<Option<OperationState>, ChainError> {
        self.accounts
            .that_began(id)
            .await?
            .state(id, Some(patience))
            .await
    }

    async fn read_anew(&self) -> Result<(), ChainError> {
        for account in self.accounts.all() {
            account.read_anew().await?;
        }
        Ok(())
    }

    async fn conclude(&self, id: OperationId) -> Result<(), ChainError> {
        self.accounts.that_began(id).await?.conclude(id).await
    }
}

impl EvmClient {
    /// The newest transaction of an operation that was begun, by whichever account.
    async fn begun(&self, id: OperationId) -> Result<Option<B256>, ChainError> {
        self.accounts.that_began(id).await?.find(id).await
    }

    /// Tries an operation, and says what its transaction needs.
    async fn draft(&self, operation: &Operation, account: &Transactions) -> Result<Draft, ChainError> {
        let call = call_of(self.backend, operation);
        let simulator = account.simulator();
        let gas_limit = if returns_success(operation) {
            let (output, gas) = futures::try_join!(simulator.output(&call), simulator.gas(&call))?;
            self.require_success(&call, &output).await?;
            gas
        } else {
            if let (Some(contract), false) = (call.to, call.input.is_empty()) {
                self.require_contract(contract).await?;
            }
            simulator.gas(&call).await?
        };
        Ok(Draft {
            call,
            gas_limit,
            transfer: expected_transfer(operation),
        })
    }

    /// The account that does it: the present one, but a token of a former one's
    /// takes orders from that alone.
    async fn account_for(&self, operation: &Operation) -> Result<Arc<Transactions>, ChainError> {
        let current = self.accounts.current();
        let Operation::Mint { token, .. } = operation else {
            return Ok(current);
        };
        let owner = self.token_owner(*token).await?;
        let owner = owner.and_then(|owner| self.accounts.find(owner));
        Ok(owner.unwrap_or(current))
    }

    /// A token may say no without a revert; one that says nothing says yes.
    async fn require_success(&self, call: &Call, output: &Bytes) -> Result<(), ChainError> {
        match (word(output), call.to) {
            (Some(answer), _) if !answer.is_zero() => Ok(()),
            (None, Some(token)) if output.is_empty() => self.require_contract(token).await,
            _ => Err(ChainError::Reverted(
                "the token answers that it does not do it, and says no reason".to_owned(),
            )),
        }
    }

    /// A call of an address without code succeeds and does nothing.
    async fn require_contract(&self, contract: Address) -> Result<(), ChainError> {
        let code: Bytes = self.node.read("eth_getCode", (contract, "latest")).await?;
        match code.is_empty() {
            true => Err(ChainError::Reverted(format!("no contract is at {contract}"))),
            false => Ok(()),
        }
    }
}
