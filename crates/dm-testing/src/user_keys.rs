//! The port [`UserKeys`].
#![allow(clippy::unwrap_used, clippy::expect_used)]

use alloy_primitives::{Signature, eip191_hash_message};
use dm_core::{
    address::parse_address,
    ports::{PublicKey, SignatureFault, Signer, UserKeys},
    user::KeyKind,
};

use super::signer::TestSigner;

/// Reads the Ethereum accounts of users, and no other keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountKeys;

/// The signature of a test account over a message, as a wallet gives it.
pub fn signed(signer: &TestSigner, message: &str) -> String {
    let signature = signer.sign_hash(&eip191_hash_message(message)).unwrap();
    format!("0x{}", hex::encode(signature.as_bytes()))
}

impl UserKeys for AccountKeys {
    fn read(&self, public_key: &str) -> Result<PublicKey, String> {
        let address = parse_address(public_key)
            .map_err(|reason| reason.to_string())?
            .to_string();
        Ok(PublicKey {
            kind: KeyKind::Ethereum,
            text: address.clone(),
            fingerprint: address,
        })
    }

    fn check(&self, public_key: &str, message: &str, signature: &str) -> Result<(), SignatureFault> {
        let key = self.read(public_key).map_err(SignatureFault::Key)?;
        let signature: Signature = signature
            .parse()
            .map_err(|_| SignatureFault::Malformed("0x and 130 hexadecimal digits"))?;
        match signature.recover_address_from_msg(message) {
            Ok(signer) if signer.to_string() == key.text => Ok(()),
            _ => Err(SignatureFault::Wrong),
        }
    }
}

const MESSAGE: &str = "{\"said\":\"näher\"}";

/// Every promise of [`UserKeys`], for one that reads Ethereum accounts.
pub fn run_user_keys_suite(keys: &dyn UserKeys) {
    an_account_is_named_by_its_address(keys);
    what_is_no_key_is_refused(keys);
    a_signature_counts_for_its_key_and_its_message_alone(keys);
    a_text_that_is_no_signature_is_told_from_a_wrong_one(keys);
    a_key_that_cannot_be_read_is_told_from_a_wrong_signature(keys);
}

fn an_account_is_named_by_its_address(keys: &dyn UserKeys) {
    let address = TestSigner::new(1).address().to_string();
    let expected = PublicKey {
        kind: KeyKind::Ethereum,
        text: address.clone(),
        fingerprint: address.clone(),
    };
    assert_eq!(keys.read(&address), Ok(expected.clone()));
    // Any case stands for the one form.
    assert_eq!(keys.read(&address.to_lowercase()), Ok(expected));
}

fn what_is_no_key_is_refused(keys: &dyn UserKeys) {
    for key in ["", "0x", "-----BEGIN PUBLIC KEY-----", "ssh-ed25519 AAAA"] {
        assert!(keys.read(key).is_err(), "{key}");
    }
}

fn a_signature_counts_for_its_key_and_its_message_alone(keys: &dyn UserKeys) {
    let (signer, other) = (TestSigner::new(4), TestSigner::new(5));
    let (key, other) = (signer.address().to_string(), other.address().to_string());
    let signature = signed(&signer, MESSAGE);
    assert_eq!(keys.check(&key, MESSAGE, &signature), Ok(()));
    for (key, message) in [(&key, "{\"said\":\"naher\"}"), (&key, ""), (&other, MESSAGE)] {
        let refused = keys.check(key, message, &signature);
        assert_eq!(refused, Err(SignatureFault::Wrong), "{key} {message}");
    }
}

fn a_text_that_is_no_signature_is_told_from_a_wrong_one(keys: &dyn UserKeys) {
    let signer = TestSigner::new(6);
    let signature = signed(&signer, MESSAGE);
    for text in [
        "",
        "0x",
        "c2lnbmF0dXJl",
        &signature[..130],
        &format!("{signature}00"),
    ] {
        let refused = keys.check(&signer.address().to_string(), MESSAGE, text);
        assert!(
            matches!(refused, Err(SignatureFault::Malformed(_))),
            "{text} {refused:?}"
        );
    }
}

fn a_key_that_cannot_be_read_is_told_from_a_wrong_signature(keys: &dyn UserKeys) {
    let signature = signed(&TestSigner::new(7), MESSAGE);
    let refused = keys.check("0x", MESSAGE, &signature);
    assert!(matches!(refused, Err(SignatureFault::Key(_))), "{refused:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_keys_keep_every_promise() {
        run_user_keys_suite(&AccountKeys);
    }
}
