//! `eth_getLogs`.

use alloy::{
    eips::BlockNumberOrTag,
    rpc::types::{Filter, FilterBlockOption, Log},
};

use super::{Params, RpcError, blocks, convert};
use crate::embedded::{block::Block, chain::Chain};

/// Blocks that one request may cover.
const MAX_BLOCKS: u64 = 10_000;
/// Logs that one response may have.
const MAX_LOGS: usize = 10_000;

pub(super) fn find(chain: &Chain, params: &Params<'_>) -> Result<Vec<Log>, RpcError> {
    matching(chain, &params.required(0)?)
}

/// All logs that a filter matches.
pub(super) fn matching(chain: &Chain, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    let mut found = Vec::new();
    match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let block =
                blocks::find(chain, hash.into())?.ok_or_else(|| RpcError::refused("unknown block"))?;
            collect(chain, &block, filter, &mut found)?;
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let (first, last) = range(chain, from_block, to_block)?;
            search(chain, first, last, filter, &mut found)?;
        }
    }
    Ok(found)
}

/// The logs from `first` to `last` that a filter matches, and the block behind the
/// last one that was looked at: the search ends early where there are many.
pub(super) fn from(
    chain: &Chain,
    filter: &Filter,
    first: u64,
    last: u64,
) -> Result<(Vec<Log>, u64), RpcError> {
    let mut found = Vec::new();
    let lowest = filter.get_from_block().unwrap_or(0);
    let highest = filter.get_to_block().unwrap_or(u64::MAX);
    let mut next = first;
    while next <= last && found.len() < MAX_LOGS {
        let page = chain.store().blocks(next, last)?;
        if page.is_empty() {
            break;
        }
        for block in page {
            let number = block.header.number;
            if (lowest..=highest).contains(&number) && filter.matches_bloom(block.header.logs_bloom) {
                found.extend(logs_of(chain, &block, filter)?);
            }
            next = number + 1;
            if found.len() >= MAX_LOGS {
                break;
            }
        }
    }
    Ok((found, next))
}

fn range(
    chain: &Chain,
    from: Option<BlockNumberOrTag>,
    to: Option<BlockNumberOrTag>,
) -> Result<(u64, u64), RpcError> {
    let newest = chain.head().block.header.number;
    let number = |tag: Option<BlockNumberOrTag>| match tag {
        Some(BlockNumberOrTag::Number(number)) => number,
        Some(BlockNumberOrTag::Earliest) => 0,
        _ => newest,
    };
    let (first, last) = (number(from), number(to).min(newest));
    if number(to) < first {
        return Err(RpcError::invalid_params("invalid block range params"));
    }
    if last.saturating_sub(first) >= MAX_BLOCKS {
        return Err(RpcError::new(
            -32005,
            format!("exceed maximum block range: {MAX_BLOCKS}").into(),
        ));
    }
    Ok((first, last))
}

fn search(
    chain: &Chain,
    mut first: u64,
    last: u64,
    filter: &Filter,
    found: &mut Vec<Log>,
) -> Result<(), RpcError> {
    while first <= last {
        let page = chain.store().blocks(first, last)?;
        let Some(end) = page.last().map(|block| block.header.number) else {
            break;
        };
        for block in page
            .iter()
            .filter(|block| filter.matches_bloom(block.header.logs_bloom))
        {
            collect(chain, block, filter, found)?;
        }
        first = end + 1;
    }
    Ok(())
}

fn collect(chain: &Chain, block: &Block, filter: &Filter, found: &mut Vec<Log>) -> Result<(), RpcError> {
    found.extend(logs_of(chain, block, filter)?);
    match found.len() > MAX_LOGS {
        true => Err(RpcError::new(
            -32005,
            format!("query returned more than {MAX_LOGS} results").into(),
        )),
        false => Ok(()),
    }
}

/// The logs of one block that a filter matches.
fn logs_of(chain: &Chain, block: &Block, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    let transactions = chain.store().transactions(block.header.number)?;
    let logs = (0..)
        .zip(&transactions)
        .flat_map(|(index, mined)| convert::logs(mined, block, index));
    Ok(logs.filter(|log| filter.matches(&log.inner)).collect())
}
