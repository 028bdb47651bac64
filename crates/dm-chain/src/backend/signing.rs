//! From a call to the bytes that a chain takes, by alloy.

use alloy::{
    consensus::{SignableTransaction, Signed, TxEip1559, TxLegacy},
    eips::Encodable2718,
    primitives::{Signature, TxKind},
};
use dm_core::ports::{ChainError, Signer};

use crate::tx::{Fees, SigningJob, Version};

/// Signs a transaction for one chain alone
/// ([EIP-155](https://eips.ethereum.org/EIPS/eip-155)).
///
/// # Errors
/// [`ChainError::Refused`] where the account cannot sign.
pub(super) fn sign(job: &SigningJob, chain_id: u64, signer: &dyn Signer) -> Result<Version, ChainError> {
    let call = &job.draft.call;
    let to = call.to.map_or(TxKind::Create, TxKind::Call);
    match job.fees {
        Fees::Dynamic { max_fee, tip } => finish(
            job.fees,
            TxEip1559 {
                chain_id,
                nonce: job.nonce,
                gas_limit: job.draft.gas_limit,
                max_fee_per_gas: max_fee,
                max_priority_fee_per_gas: tip,
                to,
                value: call.value,
                input: call.input.clone(),
                ..TxEip1559::default()
            },
            signer,
        ),
        Fees::Legacy { gas_price } => finish(
            job.fees,
            TxLegacy {
                chain_id: Some(chain_id),
                nonce: job.nonce,
                gas_price,
                gas_limit: job.draft.gas_limit,
                to,
                value: call.value,
                input: call.input.clone(),
            },
            signer,
        ),
    }
}

fn finish<T>(fees: Fees, transaction: T, signer: &dyn Signer) -> Result<Version, ChainError>
where
    T: SignableTransaction<Signature>,
    Signed<T>: Encodable2718,
{
    let signature = signer
        .sign_hash(&transaction.signature_hash())
        .map_err(|error| ChainError::Refused(error.to_string()))?;
    let signed = transaction.into_signed(signature);
    Ok(Version {
        hash: signed.trie_hash(),
        bytes: signed.encoded_2718().into(),
        fees,
    })
}
