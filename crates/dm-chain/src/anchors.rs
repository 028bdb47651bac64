//! The port `Anchors` over the anchor contract.

use std::cmp::Ordering;

use alloy::primitives::{Address, B256, Bytes, U64};
use async_trait::async_trait;
use dm_core::{
    ports::{AnchorHead, AnchorRequest, Anchors, Chain, ChainError},
    receipt::{Anchor, Checkpoint, Receipt},
};

use crate::{
    client::EvmClient,
    deployment::has_code,
    transactions::{Transactions, receipt},
    tx::{Call, Draft},
    wire::BlockContent,
};

/// Seconds by which a block in the place of another one may be older.
const SAME_TIME: u64 = 3600;

#[async_trait]
impl Anchors for EvmClient {
    async fn anchor_head(&self, log: Address) -> Result<Option<AnchorHead>, ChainError> {
        let head = self.reader.head(log).await?;
        if head.is_none() {
            // The contract may be gone with a chain that began anew.
            self.deployment.forget();
        }
        Ok(head)
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
        let target = self.accounts.anchor_target(account.account());
        let input = self.backend.anchor(request, target);
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

    async fn has_lost(&self, anchor: &Anchor) -> Result<bool, ChainError> {
        if let Some(receipt) = receipt(&self.node, anchor.tx_hash).await? {
            // In another block the contract may have refused it.
            return Ok(self
                .reader
                .anchor_in(anchor.tx_hash, &receipt.logs)
                .await?
                .is_none());
        }
        let params = (U64::from(anchor.block), false);
        let block: Option<BlockContent> = self.node.read("eth_getBlockByNumber", params).await?;
        match block.filter(|block| is_of_that_time(block, anchor)) {
            Some(block) => Ok(!block.transactions.contains(&anchor.tx_hash)),
            None => self.chain_differs_from_that_of(anchor).await,
        }
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
    /// Whether a chain that does not reach the block of an anchor is not the
    /// anchor's: it is later, or has no contract at that time. (On rollups the
    /// contract sees the number of another chain's block.)
    async fn chain_differs_from_that_of(&self, anchor: &Anchor) -> Result<bool, ChainError> {
        let head = self.head().await?;
        match head.timestamp.cmp(&anchor.timestamp) {
            Ordering::Less => Ok(false),
            Ordering::Equal => Ok(!has_code(&self.node, anchor.contract).await?),
            Ordering::Greater => Ok(true),
        }
    }

    /// Sends the anchor contract a call, once it is deployed, and returns the
    /// transaction's hash without waiting.
    pub(crate) async fn call_contract(
        &self,
        account: &Transactions,
        input: Bytes,
    ) -> Result<B256, ChainError> {
        self.deployment.ensure(&self.node, account).await?;
        let call = Call::with_input(self.reader.contract(), input);
        let gas_limit = account.simulator().gas(&call).await?;
        account.send(Draft::without_transfer(call, gas_limit)).await
    }
}

/// Whether a block can be the one that the contract saw, or one in its place.
fn is_of_that_time(block: &BlockContent, anchor: &Anchor) -> bool {
    block.timestamp.to::<u64>().saturating_add(SAME_TIME) >= anchor.timestamp
}
