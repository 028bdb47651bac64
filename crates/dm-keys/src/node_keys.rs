use std::{path::Path, sync::Arc};

use dm_core::{
    ports::{Grants, KeyFiles, KeyRing, Sealer, SecretFiles, SecretFilesError, Signer},
    secret::SecretString,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    FernetSealer, HpkeGrants, KeyError, KeyManager, LocalAccount, SecretDirectory,
    key_manager::{load, refuse_empty},
    key_set::StoredAccount,
    master_key::Cost,
};

/// Name of the key file among the files of a node's keys.
pub const KEY_FILE: &str = "keys.json";
/// Name of the node account's Web3 keystore file there.
pub const KEYSTORE_FILE: &str = "keystore.json";

/// All keys of a node, from its files of secrets and one password.
///
/// The node account is kept twice: in its Web3 keystore file, where other
/// tools expect it, and in the key file together with that keystore's SHA-256.
/// While the keystore is unchanged, opening takes the one key derivation of
/// the key file instead of two.
#[derive(Debug, Clone)]
pub struct NodeKeys {
    manager: Arc<KeyManager>,
    account: Arc<LocalAccount>,
}

impl NodeKeys {
    /// Whether the directory holds a node's keys.
    ///
    /// # Errors
    /// [`KeyError::Io`] where it cannot be examined.
    pub fn exist(dir: &Path) -> Result<bool, KeyError> {
        Self::exist_in(&SecretDirectory::at(dir))
    }

    /// Whether there are a node's keys among the files.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub fn exist_in(files: &dyn SecretFiles) -> Result<bool, KeyError> {
        match load(files, KEY_FILE) {
            Ok(_) => Ok(true),
            Err(KeyError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the keys of a new node in a directory.
    ///
    /// # Errors
    /// Those of [`NodeKeys::create_in`].
    pub fn create(
        dir: &Path,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
    ) -> Result<Self, KeyError> {
        Self::create_in(Arc::new(SecretDirectory::at(dir)), password, private_key)
    }

    /// Makes the keys of a new node; nothing is left behind where it fails. The
    /// node account is that of `private_key` where it is given (which is
    /// not stored then), else that of a keystore file that is there already,
    /// else a fresh one. Takes two key derivations, one after the other (0.3 s
    /// and 128 MiB each); blocking.
    ///
    /// # Errors
    /// [`KeyError::Exists`]: keys are never overwritten; and those of
    /// [`NodeKeys::open_in`].
    pub fn create_in(
        files: Arc<dyn SecretFiles>,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
    ) -> Result<Self, KeyError> {
        Self::create_with(files, password, private_key, Cost::FULL)
    }

    pub(crate) fn create_with(
        files: Arc<dyn SecretFiles>,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        let password = require(password)?;
        let configured = private_key.map(LocalAccount::from_private_key).transpose()?;
        if Self::exist_in(&*files)? {
            return Err(KeyError::Exists(files.place(KEY_FILE)));
        }
        if let Some(account) = configured {
            let manager = KeyManager::create_with(files, KEY_FILE, password, None, cost)?;
            return Ok(Self::new(manager, account));
        }
        match read_keystore(&*files, password) {
            Ok((account, stored)) => {
                let manager = KeyManager::create_with(files, KEY_FILE, password, Some(stored), cost)?;
                Ok(Self::new(manager, account))
            }
            Err(KeyError::Missing(_)) => Self::create_with_account(&files, password, cost),
            Err(error) => Err(error),
        }
    }

    /// The key file is written first: it alone is complete, and a keystore file
    /// that is missing is written from it when it is opened.
    fn create_with_account(
        files: &Arc<dyn SecretFiles>,
        password: &SecretString,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        let account = LocalAccount::random();
        let bytes = account.to_keystore(&files.place(KEYSTORE_FILE), password, cost)?;
        let stored = stored_account(&account, &bytes);
        let manager = KeyManager::create_with(files.clone(), KEY_FILE, password, Some(stored), cost)?;
        if let Err(error) = replace_keystore(&**files, None, &bytes) {
            let made = manager.file_bytes()?;
            files
                .replace(KEY_FILE, Some(&made), None)
                .map_err(KeyError::of_files("remove", files.place(KEY_FILE)))?;
            return Err(error);
        }
        Ok(Self::new(manager, account))
    }

    /// Opens the keys of a node in a directory.
    ///
    /// # Errors
    /// Those of [`NodeKeys::open_in`].
    pub fn open(
        dir: &Path,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
    ) -> Result<Self, KeyError> {
        Self::open_in(Arc::new(SecretDirectory::at(dir)), password, private_key)
    }

    /// Opens the keys of a node. Takes one key derivation (0.3 s, 128 MiB);
    /// blocking. `private_key` wins over the account among the files.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with which file, and what to do.
    pub fn open_in(
        files: Arc<dyn SecretFiles>,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
    ) -> Result<Self, KeyError> {
        Self::open_with(files, password, private_key, Cost::FULL)
    }

    pub(crate) fn open_with(
        files: Arc<dyn SecretFiles>,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        let password = require(password)?;
        let configured = private_key.map(LocalAccount::from_private_key).transpose()?;
        let manager = KeyManager::open_with(files, KEY_FILE, password, cost)?;
        let account = match configured {
            Some(account) => account,
            None => open_account(&manager, password)?,
        };
        Ok(Self::new(manager, account))
    }

    fn new(manager: KeyManager, account: LocalAccount) -> Self {
        Self {
            manager: Arc::new(manager),
            account: Arc::new(account),
        }
    }

    /// Seals chunks.
    pub fn sealer(&self) -> Arc<dyn Sealer> {
        Arc::new(FernetSealer)
    }

    /// Wraps content keys.
    pub fn key_ring(&self) -> Arc<dyn KeyRing> {
        self.manager.clone()
    }

    /// Makes grants, and opens those for the node account.
    pub fn grants(&self) -> Arc<dyn Grants> {
        Arc::new(HpkeGrants::new(self.manager.clone(), self.account.address()))
    }

    /// Signs as the node account, to which the log, the objects and the grants of this
    /// node belong. It is the operator account, too, until the log is handed over.
    pub fn signer(&self) -> Arc<dyn Signer> {
        self.account.clone()
    }

    /// Seed of the node's network identity: the private key of Ed25519.
    pub fn identity_seed(&self) -> Zeroizing<[u8; 32]> {
        self.manager.identity_seed()
    }

    /// Seed of the network identity of one of several instances, which is another one for
    /// each: the instances have their keys in common, and no peer id.
    pub fn identity_seed_of(&self, instance: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(self.identity_seed().as_slice()) else {
            unreachable!("HMAC takes keys of any length")
        };
        let seed = mac.chain_update(b"datamgmt instance").chain_update(instance);
        Zeroizing::new(seed.finalize().into_bytes().into())
    }

    /// For rotation and import.
    pub fn manager(&self) -> &Arc<KeyManager> {
        &self.manager
    }
}

pub(crate) fn require(password: Option<&SecretString>) -> Result<&SecretString, KeyError> {
    let password = password.ok_or(KeyError::NoPassword)?;
    refuse_empty(password)?;
    Ok(password)
}

pub(crate) fn stored_account(account: &LocalAccount, keystore: &[u8]) -> StoredAccount {
    StoredAccount {
        address: account.address(),
        secret: account.secret(),
        keystore_digest: Sha256::digest(keystore).into(),
        replaced_keystore: None,
    }
}

impl KeyFiles for NodeKeys {
    /// The key file alone: it is complete, and a keystore file that is missing is
    /// written from it when the keys are opened.
    fn key_files(&self) -> std::io::Result<Vec<(String, Vec<u8>)>> {
        let bytes = self.manager.file_bytes().map_err(std::io::Error::other)?;
        Ok(vec![(KEY_FILE.to_owned(), bytes)])
    }
}

fn read_keystore(
    files: &dyn SecretFiles,
    password: &SecretString,
) -> Result<(LocalAccount, StoredAccount), KeyError> {
    let bytes = load(files, KEYSTORE_FILE)?;
    let account = LocalAccount::from_keystore(&files.place(KEYSTORE_FILE), &bytes, password)?;
    let stored = stored_account(&account, &bytes);
    Ok((account, stored))
}

/// The node account from the key file, where the keystore file is the one
/// that it was read from or written to.
fn open_account(manager: &KeyManager, password: &SecretString) -> Result<LocalAccount, KeyError> {
    let Some(stored) = manager.account() else {
        return adopt_keystore(manager, password);
    };
    let account = LocalAccount::from_secret(&stored.secret)
        .filter(|account| account.address() == stored.address)
        .ok_or_else(|| KeyError::damaged(manager.path(), "its account is not consistent"))?;
    let keystore = manager.files().place(KEYSTORE_FILE);
    match load(manager.files(), KEYSTORE_FILE) {
        Ok(bytes) if stored.is_kept_in(&bytes) => {}
        Ok(bytes) if stored.was_kept_in(&bytes) => {
            tracing::info!(file = %keystore.display(), "a change of the master password is finished");
            write_keystore(manager, &account, password, Some(&bytes))?;
        }
        Ok(bytes) => {
            ensure_keystore_of(&account, &keystore, &bytes, password)?;
            manager.set_account(&stored_account(&account, &bytes))?;
        }
        Err(KeyError::Missing(_)) => {
            tracing::warn!(file = %keystore.display(), "the keystore file is missing and is written again");
            write_keystore(manager, &account, password, None)?;
        }
        Err(error) => return Err(error),
    }
    Ok(account)
}

/// Writes the keystore file from the key file, which is complete without it.
fn write_keystore(
    manager: &KeyManager,
    account: &LocalAccount,
    password: &SecretString,
    outdated: Option<&[u8]>,
) -> Result<(), KeyError> {
    let place = manager.files().place(KEYSTORE_FILE);
    let bytes = account.to_keystore(&place, password, manager.cost())?;
    manager.set_account(&stored_account(account, &bytes).in_place_of(outdated))?;
    replace_keystore(manager.files(), outdated, &bytes)
}

/// Replaces the keystore file, where it still is what was read.
pub(crate) fn replace_keystore(
    files: &dyn SecretFiles,
    outdated: Option<&[u8]>,
    bytes: &[u8],
) -> Result<(), KeyError> {
    match files.replace(KEYSTORE_FILE, outdated, Some(bytes)) {
        // Another process has written it. The next start looks whether it is the right one.
        Err(SecretFilesError::Conflict) => Ok(()),
        replaced => replaced.map_err(KeyError::of_files("write", files.place(KEYSTORE_FILE))),
    }
}

/// Refuses a keystore file of another account.
pub(crate) fn ensure_keystore_of(
    account: &LocalAccount,
    path: &Path,
    bytes: &[u8],
    password: &SecretString,
) -> Result<(), KeyError> {
    let found = LocalAccount::from_keystore(path, bytes, password)?;
    if found.address() == account.address() {
        return Ok(());
    }
    Err(KeyError::OtherAccount {
        path: path.to_owned(),
        expected: account.address(),
        found: found.address(),
    })
}

/// The node had a private key in its configuration until now, and has a
/// keystore file instead.
fn adopt_keystore(manager: &KeyManager, password: &SecretString) -> Result<LocalAccount, KeyError> {
    match read_keystore(manager.files(), password) {
        Ok((account, stored)) => {
            manager.set_account(&stored)?;
            Ok(account)
        }
        Err(KeyError::Missing(path)) => Err(KeyError::NoAccount(path)),
        Err(error) => Err(error),
    }
}
