use std::{fmt, path::Path};

use alloy_primitives::{Address, B256, Signature};
use dm_core::{
    ports::{Signer, SignerError},
    secret::SecretString,
};
use k256::ecdsa::SigningKey;
use zeroize::Zeroizing;

use crate::{
    KeyError, key_manager::refuse_empty, key_set::Secret, keystore, master_key::Cost, private_file,
    text::without_mark,
};

/// An account whose private key is here: the node account, or an operator account. A
/// secp256k1 key, wiped when dropped and hidden from `Debug`. A signature takes some 50 µs.
pub struct LocalAccount {
    key: SigningKey,
    address: Address,
}

impl LocalAccount {
    /// A fresh account from the operating system's random source.
    pub fn random() -> Self {
        loop {
            // All but one in 2^128 of the numbers are keys.
            if let Some(account) = Self::from_secret(&Zeroizing::new(rand::random())) {
                return account;
            }
        }
    }

    /// The account of a private key: 64 hexadecimal digits, with or without `0x`.
    ///
    /// # Errors
    /// [`KeyError::InvalidPrivateKey`]; the text is not repeated.
    pub fn from_private_key(text: &SecretString) -> Result<Self, KeyError> {
        let digits = without_mark(text.expose());
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, secret.as_mut_slice()).map_err(|_| KeyError::InvalidPrivateKey)?;
        Self::from_secret(&secret).ok_or(KeyError::InvalidPrivateKey)
    }

    /// Opens a Web3 keystore file (version 3). Takes the key derivation that
    /// the file asks for: 0.3 s to some seconds.
    ///
    /// # Errors
    /// [`KeyError`]; a file that is damaged inside its ciphertext cannot be
    /// told from a wrong password.
    pub fn open_keystore(path: &Path, password: &SecretString) -> Result<Self, KeyError> {
        Self::from_keystore(path, &private_file::read(path)?, password)
    }

    pub(crate) fn from_keystore(
        path: &Path,
        bytes: &[u8],
        password: &SecretString,
    ) -> Result<Self, KeyError> {
        let (secret, address) = keystore::read(path, bytes, password)?;
        Self::from_secret(&secret)
            .filter(|account| address.is_none_or(|address| address == account.address))
            .ok_or_else(|| KeyError::damaged(path, "its content is not the private key of its address"))
    }

    /// Writes a Web3 keystore file with mode 0600; never overwrites. Takes one
    /// key derivation (0.3 s).
    ///
    /// # Errors
    /// [`KeyError::NoPassword`], [`KeyError::Exists`], [`KeyError::Io`].
    pub fn save_keystore(&self, path: &Path, password: &SecretString) -> Result<(), KeyError> {
        let bytes = self.to_keystore(path, password, Cost::FULL)?;
        let _lock = private_file::lock(path)?;
        if private_file::exists(path)? {
            return Err(KeyError::Exists(path.to_owned()));
        }
        private_file::replace(path, &bytes)
    }

    pub(crate) fn to_keystore(
        &self,
        path: &Path,
        password: &SecretString,
        cost: Cost,
    ) -> Result<Vec<u8>, KeyError> {
        refuse_empty(password)?;
        keystore::write(path, &self.secret(), self.address, password, cost)
    }

    pub(crate) fn from_secret(secret: &Secret) -> Option<Self> {
        let key = SigningKey::from_slice(secret.as_slice()).ok()?;
        let address = Address::from_private_key(&key);
        Some(Self { key, address })
    }

    pub(crate) fn secret(&self) -> Secret {
        Zeroizing::new(self.key.to_bytes().into())
    }
}

impl fmt::Debug for LocalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalAccount")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Signer for LocalAccount {
    fn address(&self) -> Address {
        self.address
    }

    fn sign_hash(&self, hash: &B256) -> Result<Signature, SignerError> {
        self.key
            .sign_prehash_recoverable(hash.as_slice())
            .map(Signature::from)
            .map_err(|error| SignerError::Failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The first account of the development mnemonic that anvil and hardhat share.
    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

    #[test]
    fn a_private_key_gives_its_account() {
        for text in [KEY.to_owned(), KEY[2..].to_uppercase(), format!(" {KEY}\n")] {
            let account = LocalAccount::from_private_key(&SecretString::new(text)).unwrap();
            assert_eq!(account.address().to_string(), ADDRESS);
        }
    }

    #[test]
    fn what_is_no_private_key_is_refused_and_not_repeated() {
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        for text in ["", "0x", &KEY[..65], &"0".repeat(64), order, &"g".repeat(64)] {
            let error = LocalAccount::from_private_key(&SecretString::new(text)).unwrap_err();
            assert!(matches!(error, KeyError::InvalidPrivateKey));
            assert!(text.len() < 3 || !error.to_string().contains(text));
        }
    }

    #[test]
    fn a_signature_leads_back_to_the_account_and_has_a_low_s() {
        let account = LocalAccount::random();
        for byte in 0..32 {
            let hash = B256::repeat_byte(byte);
            let signature = account.sign_hash(&hash).unwrap();
            assert_eq!(
                signature.recover_address_from_prehash(&hash).unwrap(),
                account.address()
            );
            assert!(signature.normalize_s().is_none());
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let account = LocalAccount::from_private_key(&SecretString::new(KEY)).unwrap();
        let expected = format!("LocalAccount {{ address: {}, .. }}", ADDRESS.to_lowercase());
        assert_eq!(format!("{account:?}"), expected);
    }
}
