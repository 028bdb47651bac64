use alloy::primitives::B256;

use crate::{
    rpc::{Node, RpcFailure},
    wire::TransactionReceipt,
};

/// The receipt of a mined transaction.
pub(crate) async fn receipt(node: &Node, hash: B256) -> Result<Option<TransactionReceipt>, RpcFailure> {
    let receipt: Option<TransactionReceipt> = node.read("eth_getTransactionReceipt", (hash,)).await?;
    match receipt {
        Some(receipt) if receipt.transaction_hash != hash => Err(RpcFailure::nonsense()),
        Some(receipt) if receipt.block_number.is_some() => Ok(Some(receipt)),
        _ => Ok(None),
    }
}
