//! Balances, nonces, code, storage, and calls on the state.

use std::sync::Arc;

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256, Bytes, U64, U256},
    rpc::types::TransactionRequest,
    serde::JsonStorageKey,
};

use super::{Params, RpcError};
use crate::embedded::{
    chain::{Chain, Head},
    simulate,
    state::StateView,
};

pub(super) fn balance(chain: &Chain, params: &Params<'_>) -> Result<U256, RpcError> {
    let account = view(chain, params, 1)?.account(&params.required(0)?)?;
    Ok(account.unwrap_or_default().balance)
}

pub(super) fn transaction_count(chain: &Chain, params: &Params<'_>) -> Result<U64, RpcError> {
    let address: Address = params.required(0)?;
    let block: Option<BlockId> = params.optional(1)?;
    let mined = view(chain, params, 1)?
        .account(&address)?
        .unwrap_or_default()
        .nonce;
    let count = match block {
        Some(BlockId::Number(BlockNumberOrTag::Pending)) => {
            chain.queue.lock().pool.next_nonce(&address, mined)
        }
        _ => mined,
    };
    Ok(U64::from(count))
}

pub(super) fn code(chain: &Chain, params: &Params<'_>) -> Result<Bytes, RpcError> {
    let view = view(chain, params, 1)?;
    let account = view.account(&params.required(0)?)?.unwrap_or_default();
    Ok(view.code(&account.code_hash)?.original_bytes())
}

pub(super) fn storage(chain: &Chain, params: &Params<'_>) -> Result<B256, RpcError> {
    let slot: JsonStorageKey = params.required(1)?;
    let value = view(chain, params, 2)?.slot(&params.required(0)?, &U256::from_be_bytes(slot.as_b256().0))?;
    Ok(value.into())
}

pub(super) fn call(chain: &Chain, params: &Params<'_>) -> Result<Bytes, RpcError> {
    let request: TransactionRequest = params.required(0)?;
    refuse_overrides(params)?;
    Ok(simulate::call(
        chain,
        &*head(chain, params.optional(1)?)?,
        &request,
    )?)
}

pub(super) fn estimate_gas(chain: &Chain, params: &Params<'_>) -> Result<U64, RpcError> {
    let request: TransactionRequest = params.required(0)?;
    refuse_overrides(params)?;
    let gas = simulate::estimate_gas(chain, &*head(chain, params.optional(1)?)?, &request)?;
    Ok(U64::from(gas))
}

fn view(chain: &Chain, params: &Params<'_>, block_index: usize) -> Result<StateView, RpcError> {
    Ok(chain.view(&*head(chain, params.optional(block_index)?)?))
}

/// The block that is meant, if its state can still be read.
fn head(chain: &Chain, block: Option<BlockId>) -> Result<Arc<Head>, RpcError> {
    let number = match block {
        None => return Ok(chain.head()),
        Some(BlockId::Number(BlockNumberOrTag::Number(number))) => number,
        Some(BlockId::Number(BlockNumberOrTag::Earliest)) => 0,
        Some(BlockId::Number(_)) => return Ok(chain.head()),
        Some(BlockId::Hash(hash)) => chain
            .store()
            .block_number(&hash.block_hash)?
            .ok_or_else(|| RpcError::refused("header not found"))?,
    };
    match chain.recent(number) {
        Some(head) => Ok(head),
        None if number > chain.head().block.header.number => Err(RpcError::refused("header not found")),
        None => Err(RpcError::refused(format!(
            "state of block {number} is not kept: the embedded chain keeps that of its newest blocks"
        ))),
    }
}

fn refuse_overrides(params: &Params<'_>) -> Result<(), RpcError> {
    let overrides = params.optional::<serde_json::Map<String, serde_json::Value>>(2)?;
    match overrides.is_none_or(|overrides| overrides.is_empty()) {
        true => Ok(()),
        false => Err(RpcError::invalid_params("state overrides are not supported")),
    }
}
