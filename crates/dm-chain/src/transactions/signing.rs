//! From a call to the bytes that a chain takes.

use alloy::{
    consensus::{SignableTransaction, Signed, TxEip1559, TxLegacy},
    eips::Encodable2718,
    primitives::{B256, Bytes, Signature, TxKind},
};
use dm_core::ports::{ChainError, Signer};

use super::{Call, fees::Fees};

/// A signed transaction.
#[derive(Debug, Clone)]
pub(super) struct SignedTransaction {
    /// Its hash.
    pub(super) hash: B256,
    /// Its bytes ([EIP-2718](https://eips.ethereum.org/EIPS/eip-2718)).
    pub(super) bytes: Bytes,
}

/// What stands in a transaction beside its call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Id of the chain for which alone it is good
    /// ([EIP-155](https://eips.ethereum.org/EIPS/eip-155)).
    pub(super) chain_id: u64,
    /// Its number among those of the account.
    pub(super) nonce: u64,
    /// Gas that it may use.
    pub(super) gas_limit: u64,
    /// What it offers for each gas.
    pub(super) fees: Fees,
}

/// Signs a call.
///
/// # Errors
/// [`ChainError::Refused`] where the account cannot sign.
pub(super) fn sign(call: &Call, terms: Terms, signer: &dyn Signer) -> Result<SignedTransaction, ChainError> {
    let to = TxKind::Call(call.to);
    match terms.fees {
        Fees::Dynamic { max_fee, tip } => finish(
            TxEip1559 {
                chain_id: terms.chain_id,
                nonce: terms.nonce,
                gas_limit: terms.gas_limit,
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
            TxLegacy {
                chain_id: Some(terms.chain_id),
                nonce: terms.nonce,
                gas_price,
                gas_limit: terms.gas_limit,
                to,
                value: call.value,
                input: call.input.clone(),
            },
            signer,
        ),
    }
}

fn finish<T>(transaction: T, signer: &dyn Signer) -> Result<SignedTransaction, ChainError>
where
    T: SignableTransaction<Signature>,
    Signed<T>: Encodable2718,
{
    let signature = signer
        .sign_hash(&transaction.signature_hash())
        .map_err(|error| ChainError::Refused(error.to_string()))?;
    let signed = transaction.into_signed(signature);
    Ok(SignedTransaction {
        hash: signed.trie_hash(),
        bytes: signed.encoded_2718().into(),
    })
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::{Transaction, TxEnvelope, transaction::SignerRecoverable},
        eips::Decodable2718,
        primitives::{Address, U256},
    };
    use dm_core::testing::signer::TestSigner;

    use super::*;

    #[test]
    fn the_chain_id_is_signed_in_both_kinds_of_transactions() {
        let signer = TestSigner::new(1);
        let call = Call {
            to: Address::repeat_byte(7),
            input: Bytes::from_static(b"abc"),
            value: U256::from(5),
        };
        for fees in [
            Fees::Dynamic { max_fee: 9, tip: 1 },
            Fees::Legacy { gas_price: 9 },
        ] {
            let terms = Terms {
                chain_id: 31337,
                nonce: 3,
                gas_limit: 21_000,
                fees,
            };
            let signed = sign(&call, terms, &signer).unwrap();
            let read = TxEnvelope::decode_2718_exact(&signed.bytes).unwrap();
            assert_eq!(read.chain_id(), Some(31337));
            assert_eq!(read.nonce(), 3);
            assert_eq!(*read.tx_hash(), signed.hash);
            assert_eq!(read.recover_signer().unwrap(), signer.address());
        }
    }
}
