//! What a chain asks for gas now.

use alloy::primitives::{U64, U128};

use crate::{
    rpc::{Node, RpcFailure},
    tx::Price,
    wire::{BlockHeader, FeeHistory},
};

/// Blocks whose fees are looked at where nothing else says a price.
const HISTORY_BLOCKS: u64 = 20;
/// Wei for each gas where these blocks are empty: what producers usually want.
const LEAST_TIP: u128 = 1_000_000_000;

/// Asks for the price in the block after this one.
pub(super) async fn price_after(node: &Node, block: &BlockHeader) -> Result<Price, RpcFailure> {
    let Some(base) = block.base_fee_per_gas else {
        return Ok(Price {
            base: 0,
            tip: gas_price(node).await?,
            is_dynamic: false,
        });
    };
    let base = base.to::<u128>();
    Ok(Price {
        base,
        tip: tip(node, base).await?,
        is_dynamic: true,
    })
}

/// Not every endpoint offers each of the methods that say what a producer wants.
async fn tip(node: &Node, base: u128) -> Result<u128, RpcFailure> {
    match quantity(node, "eth_maxPriorityFeePerGas").await {
        Err(failure) if is_no_answer_to_this(&failure) => {}
        answer => return answer,
    }
    match quantity(node, "eth_gasPrice").await {
        Err(failure) if is_no_answer_to_this(&failure) => recent_tip(node).await,
        answer => Ok(answer?.saturating_sub(base)),
    }
}

async fn gas_price(node: &Node) -> Result<u128, RpcFailure> {
    match quantity(node, "eth_gasPrice").await {
        // Without a base fee, what producers get is the price.
        Err(failure) if is_no_answer_to_this(&failure) => recent_tip(node).await,
        answer => answer,
    }
}

/// What the producers of the newest blocks got for each gas: the median block's
/// median. Empty blocks say nothing.
async fn recent_tip(node: &Node) -> Result<u128, RpcFailure> {
    let params = (U64::from(HISTORY_BLOCKS), "latest", [50.0]);
    let history: FeeHistory = match node.read("eth_feeHistory", params).await {
        Err(failure) if is_no_answer_to_this(&failure) => return Ok(LEAST_TIP),
        answer => answer?,
    };
    let mut tips: Vec<u128> = history
        .reward
        .iter()
        .flatten()
        .map(|tip| tip.to::<u128>())
        .filter(|tip| *tip > 0)
        .collect();
    tips.sort_unstable();
    Ok(tips.get(tips.len() / 2).copied().unwrap_or(LEAST_TIP))
}

async fn quantity(node: &Node, method: &'static str) -> Result<u128, RpcFailure> {
    let quantity: U128 = node.read(method, ()).await?;
    Ok(quantity.to())
}

fn is_no_answer_to_this(failure: &RpcFailure) -> bool {
    matches!(failure, RpcFailure::NotServed(_))
}
