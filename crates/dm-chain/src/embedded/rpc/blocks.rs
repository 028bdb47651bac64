//! Blocks and the receipts in them.

use alloy::{
    consensus::Sealed,
    eips::{BlockId, BlockNumberOrTag},
    network::primitives::BlockTransactions,
    primitives::{B256, U256},
    rpc::types::{self, TransactionReceipt},
};

use super::{Params, RpcError, convert};
use crate::embedded::{EmbeddedChainError, block::Block, chain::Chain};

pub(super) fn by_number(chain: &Chain, params: &Params<'_>) -> Result<Option<types::Block>, RpcError> {
    let number: BlockNumberOrTag = params.required(0)?;
    let full = params.optional(1)?.unwrap_or(false);
    let block = find(chain, number.into())?;
    Ok(block.map(|block| rpc_block(chain, block, full)).transpose()?)
}

pub(super) fn by_hash(chain: &Chain, params: &Params<'_>) -> Result<Option<types::Block>, RpcError> {
    let hash: B256 = params.required(0)?;
    let full = params.optional(1)?.unwrap_or(false);
    let block = find(chain, hash.into())?;
    Ok(block.map(|block| rpc_block(chain, block, full)).transpose()?)
}

pub(super) fn receipts(
    chain: &Chain,
    params: &Params<'_>,
) -> Result<Option<Vec<TransactionReceipt>>, RpcError> {
    let Some(block) = find(chain, params.required(0)?)? else {
        return Ok(None);
    };
    let transactions = chain.store().transactions(block.header.number)?;
    let receipts = (0..)
        .zip(transactions)
        .map(|(index, mined)| convert::receipt(&mined, &block, index));
    Ok(Some(receipts.collect()))
}

/// The block with this number, tag or hash. What waits is not shown as a
/// block: `pending` is the newest one, and nothing is newer than `finalized`.
pub(super) fn find(chain: &Chain, id: BlockId) -> Result<Option<Block>, EmbeddedChainError> {
    let number = match id {
        BlockId::Number(BlockNumberOrTag::Number(number)) => number,
        BlockId::Number(BlockNumberOrTag::Earliest) => 0,
        BlockId::Number(_) => return Ok(Some(chain.head().block.clone())),
        BlockId::Hash(hash) => match chain.store().block_number(&hash.block_hash)? {
            Some(number) => number,
            None => return Ok(None),
        },
    };
    visible(chain, number)
}

/// A block that readers may see: one that is durable and not newer than the newest.
pub(super) fn visible(chain: &Chain, number: u64) -> Result<Option<Block>, EmbeddedChainError> {
    match number > chain.head().block.header.number {
        true => Ok(None),
        false => chain.store().block(number),
    }
}

fn rpc_block(chain: &Chain, block: Block, full: bool) -> Result<types::Block, EmbeddedChainError> {
    let transactions = chain.store().transactions(block.header.number)?;
    let transactions = match full {
        true => {
            let places = (0..).zip(transactions);
            BlockTransactions::Full(
                places
                    .map(|(index, mined)| convert::transaction(mined, &block, index))
                    .collect(),
            )
        }
        false => {
            let hashes = transactions
                .iter()
                .map(|mined| *mined.transaction.inner().tx_hash());
            BlockTransactions::Hashes(hashes.collect())
        }
    };
    let header = types::Header::from_consensus(
        Sealed::new_unchecked(block.header, block.hash),
        Some(U256::ZERO),
        Some(U256::from(block.size)),
    );
    Ok(types::Block {
        header,
        uncles: Vec::new(),
        transactions,
        withdrawals: Some(Default::default()),
    })
}
