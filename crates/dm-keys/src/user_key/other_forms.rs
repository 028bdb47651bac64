//! Signatures in forms that other tools give out by default.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPssSaltLength, VerificationAlgorithm,
};
use dm_core::user::KeyKind;

use super::SignatureFault;

/// RSA-PSS with other salts than those of the digest's length: the longest that fits,
/// which OpenSSL takes by default, the 20 bytes of
/// [RFC 8017](https://www.rfc-editor.org/rfc/rfc8017#appendix-A.2.3), and none. The length
/// of the salt is no secret, and a signature proves the same whatever it is.
static OTHER_SALTS: [RsaParameters; 3] = [
    RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max),
    RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(20)),
    RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(0)),
];

const RSA_FORM: &str = "RSA-PSS with SHA-256 and a salt of 32 bytes, not PKCS #1 v1.5 \
                        (with OpenSSL `-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest`)";

/// A message with its signature, which is none in the usual form.
pub(super) struct Signed<'a> {
    pub(super) message: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl Signed<'_> {
    /// Checks the signature in the other forms that count, and tells one in a form that
    /// does not from a wrong one.
    pub(super) fn in_other_forms(&self, kind: KeyKind, key: &[u8]) -> Result<(), SignatureFault> {
        let is_by = |algorithm: &dyn VerificationAlgorithm| {
            algorithm.verify_sig(key, self.message, self.signature).is_ok()
        };
        match kind {
            KeyKind::Rsa if OTHER_SALTS.iter().any(|salt| is_by(salt)) => Ok(()),
            KeyKind::Rsa if is_by(&RSA_PKCS1_2048_8192_SHA256) => Err(SignatureFault::Malformed(RSA_FORM)),
            KeyKind::P256 if is_by(&ECDSA_P256_SHA256_FIXED) => Ok(()),
            _ => Err(SignatureFault::Wrong),
        }
    }
}
