//! What gas costs.

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{U64, U256},
    rpc::types::FeeHistory,
};

use super::{Params, RpcError, blocks};
use crate::embedded::{EmbeddedChainError, block::Block, chain::Chain};

/// What the chain suggests as tip, in wei per gas: it mines everything, so the
/// least that is accepted everywhere.
const SUGGESTED_TIP: u64 = 1_000_000_000;
/// Blocks that one fee history may cover.
const MAX_HISTORY: u64 = 1_024;
/// Percentiles that one fee history may ask for, as in geth.
const MAX_PERCENTILES: usize = 100;

pub(super) fn gas_price(chain: &Chain) -> U256 {
    U256::from(chain.head().block.next_base_fee()) + U256::from(SUGGESTED_TIP)
}

pub(super) fn tip() -> U64 {
    U64::from(SUGGESTED_TIP)
}

pub(super) fn history(chain: &Chain, params: &Params<'_>) -> Result<FeeHistory, RpcError> {
    let count = params.required::<Count>(0)?.0.min(MAX_HISTORY);
    let newest: BlockNumberOrTag = params.required(1)?;
    let percentiles: Option<Vec<f64>> = params.optional(2)?;
    if let Some(percentiles) = &percentiles {
        check_percentiles(percentiles)?;
    }
    let newest = blocks::find(chain, newest.into())?.ok_or_else(|| RpcError::refused("header not found"))?;
    let last = newest.header.number;
    let first = (last + 1).saturating_sub(count);
    let mut history = FeeHistory {
        oldest_block: first,
        ..FeeHistory::default()
    };
    let mut rewards = Vec::new();
    for block in read(chain, first, last, count)? {
        history.base_fee_per_gas.push(block.base_fee().into());
        history
            .gas_used_ratio
            .push(block.header.gas_used as f64 / block.header.gas_limit as f64);
        history.base_fee_per_blob_gas.push(1);
        history.blob_gas_used_ratio.push(0.0);
        if let Some(percentiles) = &percentiles {
            rewards.push(tips_at(tips(chain, &block)?, block.header.gas_used, percentiles));
        }
    }
    history.base_fee_per_gas.push(newest.next_base_fee().into());
    history.base_fee_per_blob_gas.push(1);
    history.reward = percentiles.map(|_| rewards);
    Ok(history)
}

/// A number, or one in hexadecimal digits: clients send both.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Count(#[serde(with = "alloy::serde::quantity")] u64);

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    let in_order = percentiles.is_sorted()
        && percentiles
            .iter()
            .all(|percentile| (0.0..=100.0).contains(percentile));
    match in_order && percentiles.len() <= MAX_PERCENTILES {
        true => Ok(()),
        false => Err(RpcError::invalid_params("invalid reward percentile")),
    }
}

fn read(chain: &Chain, first: u64, last: u64, count: u64) -> Result<Vec<Block>, EmbeddedChainError> {
    let mut blocks: Vec<Block> = Vec::new();
    while (blocks.len() as u64) < count {
        let page = chain.store().blocks(first + blocks.len() as u64, last)?;
        if page.is_empty() {
            break;
        }
        blocks.extend(page);
    }
    Ok(blocks)
}

/// Tip per gas and gas used of a block's transactions.
fn tips(chain: &Chain, block: &Block) -> Result<Vec<(u128, u64)>, EmbeddedChainError> {
    if let Some(tips) = chain
        .recent(block.header.number)
        .and_then(|head| head.tips.clone())
    {
        return Ok(tips);
    }
    let transactions = chain.store().transactions(block.header.number)?;
    Ok(transactions
        .iter()
        .map(|mined| (mined.tip(block.base_fee()), mined.gas_used))
        .collect())
}

/// The tips at these percentiles of the gas that the block used.
fn tips_at(mut tips: Vec<(u128, u64)>, gas_used: u64, percentiles: &[f64]) -> Vec<u128> {
    tips.sort_unstable();
    let at = |percentile: &f64| {
        let threshold = (gas_used as f64 * percentile / 100.0) as u64;
        let mut gas = 0;
        let reached = tips.iter().find(|(_, used)| {
            gas += used;
            gas >= threshold
        });
        reached.or(tips.last()).map_or(0, |(tip, _)| *tip)
    };
    percentiles.iter().map(at).collect()
}
