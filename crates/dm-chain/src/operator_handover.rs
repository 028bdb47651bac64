//! The port `OperatorHandover`: another account goes on with a log.

use std::sync::Arc;

use alloy::primitives::Address;
use async_trait::async_trait;
use dm_core::ports::{ChainError, OperatorHandover, Signer};

use crate::{client::EvmClient, tx::EMPTY_GAS};

#[async_trait]
impl OperatorHandover for EvmClient {
    fn operator(&self) -> Address {
        self.account()
    }

    async fn check_successor(&self, account: Address) -> Result<(), ChainError> {
        let controller = self.controller_on_chain().await?;
        if controller != self.account() && controller != account {
            return Err(ChainError::Refused(format!(
                "the log of {} is controlled by {controller} on the chain",
                self.accounts.log()
            )));
        }
        self.accounts.check_gas_money(account, EMPTY_GAS).await
    }

    async fn hand_over(&self, successor: Arc<dyn Signer>) -> Result<(), ChainError> {
        let _alone = self.hand_over.write().await;
        let to = successor.address();
        if self.controller_on_chain().await? != to {
            self.send_hand_over(to).await?;
        }
        self.accounts.change_to(successor);
        Ok(())
    }

    fn act_as(&self, operator: Arc<dyn Signer>) {
        self.accounts.change_to(operator);
    }
}

impl EvmClient {
    /// Goes on with what an account has begun that the client acted as before.
    /// Must be called within a tokio runtime.
    pub fn go_on_with(&self, former: Arc<dyn Signer>) {
        self.accounts.go_on_with(former);
    }

    /// The log controller by what the chain says.
    async fn controller_on_chain(&self) -> Result<Address, ChainError> {
        let log = self.accounts.log();
        Ok(self.reader.log_controller(log).await?.unwrap_or(log))
    }

    async fn send_hand_over(&self, to: Address) -> Result<(), ChainError> {
        let account = self.accounts.current();
        let input = self.backend.hand_over(self.accounts.log(), to);
        let tx_hash = self.call_contract(&account, input).await?;
        match account.wait(tx_hash).await?.succeeded() {
            true => Ok(()),
            false => Err(ChainError::Reverted(format!(
                "the contract refused transaction {tx_hash}"
            ))),
        }
    }
}
