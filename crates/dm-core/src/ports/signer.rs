use alloy_primitives::{Address, B256, Signature};

/// An Ethereum account that can sign: the node account, or an operator account.
pub trait Signer: Send + Sync {
    /// The account.
    fn address(&self) -> Address;

    /// Signs a 32-byte hash as it is (ECDSA on secp256k1, low `s`).
    ///
    /// # Errors
    /// [`SignerError::Failed`] where the key cannot be used.
    fn sign_hash(&self, hash: &B256) -> Result<Signature, SignerError>;
}

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The statement speaks for another account.
    #[error("this node signs as {actual}, not as {expected}")]
    OtherAccount {
        /// The account that the statement speaks for.
        expected: Address,
        /// The account of this signer.
        actual: Address,
    },
    /// The key could not be used.
    #[error("cannot sign: {0}")]
    Failed(String),
}
