//! Secrets that only this node has, and that need not be kept: each follows from the
//! node account, which never changes.

use alloy_primitives::B256;
use dm_core::{
    ports::{Signer, SignerError},
    secret::ContentKey,
};
use sha2::{Digest, Sha256};

/// The secret of the node account for one purpose, such as `datamgmt/webhook-secrets/1`.
/// It is the hash of a signature over the purpose; signatures are deterministic
/// ([RFC 6979](https://www.rfc-editor.org/rfc/rfc6979)), and this one is shown to nobody.
///
/// # Errors
/// Where the account cannot sign.
pub(crate) fn own_secret(signer: &dyn Signer, purpose: &str) -> Result<ContentKey, SignerError> {
    let digest: [u8; 32] = Sha256::digest(purpose.as_bytes()).into();
    let signature = signer.sign_hash(&B256::from(digest))?;
    Ok(ContentKey::from_bytes(
        Sha256::digest(signature.as_bytes()).into(),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_testing::signer::TestSigner;

    use super::*;

    #[test]
    fn each_account_and_purpose_has_one_secret() {
        let (one, other) = (TestSigner::new(1), TestSigner::new(2));
        let secret = own_secret(&one, "a").unwrap();
        assert_eq!(own_secret(&one, "a").unwrap(), secret);
        assert_ne!(own_secret(&one, "b").unwrap(), secret);
        assert_ne!(own_secret(&other, "a").unwrap(), secret);
    }
}
