//! The port `Anchors` over the anchor contract.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    rpc::json_rpc::ErrorPayload,
};
use async_trait::async_trait;
use dm_core::{
    ports::{AnchorHead, AnchorRequest, Anchors, ChainError},
    receipt::{Anchor, Checkpoint, Receipt},
};

use crate::{
    client::EvmClient,
    contract::refusal_in_words,
    rpc::shortened,
    transactions::{Call, Draft, Gain, SimulationFailure, Transactions, receipt},
};

#[async_trait]
impl Anchors for EvmClient {
    async fn anchor_head(&self, log: Address) -> Result<Option<AnchorHead>, ChainError> {
        self.reader.head(log).await
    }

    async fn is_anchored(
        &self,
        log: Address,
        checkpoint: &Checkpoint,
        head: &AnchorHead,
    ) -> Result<bool, ChainError> {
        self.reader.holds(log, checkpoint, head).await
    }

    async fn submit_anchor(&self, request: &AnchorRequest) -> Result<B256, ChainError> {
        let _keeping = self.hand_over.read().await;
        let account = self.accounts.current();
        let keeping = self.accounts.keeping(account.account());
        let input = self.node.library().anchor(request, keeping);
        self.call_contract(&account, input).await
    }

    async fn wait_for_anchor(&self, tx_hash: B256) -> Result<Anchor, ChainError> {
        let receipt = self.accounts.current().wait(tx_hash).await?;
        if !receipt.succeeded() {
            return Err(ChainError::Reverted(format!(
                "the contract refused transaction {tx_hash}: another one anchored in between"
            )));
        }
        // One that paid more may have taken its place.
        let tx_hash = receipt.transaction_hash;
        let anchor = self.reader.anchor_in(tx_hash, &receipt.logs).await?;
        anchor.ok_or_else(|| {
            self.deployment.forget();
            ChainError::Reverted(format!("transaction {tx_hash} met no anchor contract"))
        })
    }

    async fn anchor(&self, tx_hash: B256) -> Result<Option<(Anchor, u64)>, ChainError> {
        let (receipt, height) = futures::try_join!(
            async { receipt(&self.node, tx_hash).await.map_err(ChainError::from) },
            self.height(),
        )?;
        let Some(receipt) = receipt else {
            return Ok(None);
        };
        let Some(anchor) = self.reader.anchor_in(tx_hash, &receipt.logs).await? else {
            return Ok(None);
        };
        // Not the anchor's block: on some rollups the contract sees that of the chain below.
        let mined_in = receipt.block_number.map_or(height, |number| number.to());
        Ok(Some((anchor, height.saturating_sub(mined_in))))
    }

    async fn anchor_of_head(&self, log: Address, head: &AnchorHead) -> Result<Option<Anchor>, ChainError> {
        match self.reader.transaction_of(log, head).await? {
            Some(tx_hash) => Ok(self.anchor(tx_hash).await?.map(|(anchor, _)| anchor)),
            None => Ok(None),
        }
    }

    async fn proves(&self, receipt: &Receipt, leaf_hash: B256) -> Result<bool, ChainError> {
        self.reader.proves(receipt, leaf_hash).await
    }
}

impl EvmClient {
    /// Sends the anchor contract a call, once it is deployed, and returns the
    /// transaction's hash without waiting.
    pub(crate) async fn call_contract(
        &self,
        account: &Transactions,
        input: Bytes,
    ) -> Result<B256, ChainError> {
        self.deployment.ensure(&self.node, account).await?;
        let call = Call {
            to: Some(self.reader.contract()),
            input,
            value: U256::ZERO,
        };
        let gas_limit = account.simulator().gas(&call).await.map_err(refusal)?;
        let draft = Draft {
            call,
            gas_limit,
            gain: Gain::Nothing,
        };
        account.send(draft).await
    }
}

fn refusal(failure: SimulationFailure) -> ChainError {
    match failure {
        SimulationFailure::Reverted(payload) => ChainError::Reverted(in_words(&payload)),
        SimulationFailure::Chain(error) => error,
    }
}

fn in_words(payload: &ErrorPayload) -> String {
    payload
        .as_revert_data()
        .and_then(|data| refusal_in_words(&data))
        .unwrap_or_else(|| shortened(&payload.message))
}
