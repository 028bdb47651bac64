use std::{path::Path, sync::Arc};

use dm_core::{
    ports::{Grants, KeyFiles, KeyRing, Sealer, Signer},
    secret::SecretString,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    FernetSealer, HpkeGrants, KeyError, KeyManager, LocalAccount, key_manager::refuse_empty,
    key_set::StoredAccount, master_key::Cost, private_file,
};

/// Name of the key file in the directory of a node's keys.
pub const KEY_FILE: &str = "keys.json";
/// Name of the node account's Web3 keystore file there.
pub const KEYSTORE_FILE: &str = "keystore.json";

/// All keys of a node, from one directory and one password.
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
        private_file::exists(&dir.join(KEY_FILE))
    }

    /// Makes the keys of a new node; nothing is left behind where it fails. The
    /// node account is that of `private_key` where it is given (which is
    /// not stored then), else that of a keystore file that is there already,
    /// else a fresh one. Takes two key derivations, one after the other (0.3 s
    /// and 128 MiB each); blocking.
    ///
    /// # Errors
    /// [`KeyError::Exists`]: keys are never overwritten; and those of
    /// [`NodeKeys::open`].
    pub fn create(
        dir: &Path,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
    ) -> Result<Self, KeyError> {
        Self::create_with(dir, password, private_key, Cost::FULL)
    }

    pub(crate) fn create_with(
        dir: &Path,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        let password = require(password)?;
        let configured = private_key.map(LocalAccount::from_private_key).transpose()?;
        let key_file = dir.join(KEY_FILE);
        if private_file::exists(&key_file)? {
            return Err(KeyError::Exists(key_file));
        }
        private_file::create_dir(dir)?;
        if let Some(account) = configured {
            let manager = KeyManager::create_with(&key_file, password, None, cost)?;
            return Ok(Self::new(manager, account));
        }
        let keystore = dir.join(KEYSTORE_FILE);
        if private_file::exists(&keystore)? {
            let (account, stored) = read_keystore(&keystore, password)?;
            let manager = KeyManager::create_with(&key_file, password, Some(stored), cost)?;
            return Ok(Self::new(manager, account));
        }
        Self::create_with_account(&key_file, &keystore, password, cost)
    }

    /// The key file is written first: it alone is complete, and a keystore file
    /// that is missing is written from it when it is opened.
    fn create_with_account(
        key_file: &Path,
        keystore: &Path,
        password: &SecretString,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        let account = LocalAccount::random();
        let bytes = account.to_keystore(keystore, password, cost)?;
        let stored = stored_account(&account, &bytes);
        let manager = KeyManager::create_with(key_file, password, Some(stored), cost)?;
        if let Err(error) = private_file::replace(keystore, &bytes) {
            private_file::remove(key_file)?;
            return Err(error);
        }
        Ok(Self::new(manager, account))
    }

    /// Opens the keys of a node. Takes one key derivation (0.3 s, 128 MiB);
    /// blocking. `private_key` wins over the account in the directory.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with which file, and what to do.
    pub fn open(
        dir: &Path,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
    ) -> Result<Self, KeyError> {
        Self::open_with(dir, password, private_key, Cost::FULL)
    }

    pub(crate) fn open_with(
        dir: &Path,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        let password = require(password)?;
        let configured = private_key.map(LocalAccount::from_private_key).transpose()?;
        let manager = KeyManager::open_with(&dir.join(KEY_FILE), password, cost)?;
        let account = match configured {
            Some(account) => account,
            None => open_account(&manager, &dir.join(KEYSTORE_FILE), password)?,
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

fn read_keystore(path: &Path, password: &SecretString) -> Result<(LocalAccount, StoredAccount), KeyError> {
    let bytes = private_file::read(path)?;
    let account = LocalAccount::from_keystore(path, &bytes, password)?;
    let stored = stored_account(&account, &bytes);
    Ok((account, stored))
}

/// The node account from the key file, where the keystore file is the one
/// that it was read from or written to.
fn open_account(
    manager: &KeyManager,
    keystore: &Path,
    password: &SecretString,
) -> Result<LocalAccount, KeyError> {
    let Some(stored) = manager.account() else {
        return adopt_keystore(manager, keystore, password);
    };
    let account = LocalAccount::from_secret(&stored.secret)
        .filter(|account| account.address() == stored.address)
        .ok_or_else(|| {
            KeyError::damaged(
                &keystore.with_file_name(KEY_FILE),
                "its account is not consistent",
            )
        })?;
    match private_file::read(keystore) {
        Ok(bytes) if stored.is_kept_in(&bytes) => {}
        Ok(bytes) if stored.was_kept_in(&bytes) => {
            tracing::info!(file = %keystore.display(), "a change of the master password is finished");
            write_keystore(manager, &account, keystore, password, Some(&bytes))?;
        }
        Ok(bytes) => {
            ensure_keystore_of(&account, keystore, &bytes, password)?;
            manager.set_account(stored_account(&account, &bytes))?;
        }
        Err(KeyError::Missing(_)) => {
            tracing::warn!(file = %keystore.display(), "the keystore file is missing and is written again");
            write_keystore(manager, &account, keystore, password, None)?;
        }
        Err(error) => return Err(error),
    }
    Ok(account)
}

/// Writes the keystore file from the key file, which is complete without it.
fn write_keystore(
    manager: &KeyManager,
    account: &LocalAccount,
    keystore: &Path,
    password: &SecretString,
    outdated: Option<&[u8]>,
) -> Result<(), KeyError> {
    let bytes = account.to_keystore(keystore, password, manager.cost())?;
    manager.set_account(stored_account(account, &bytes).in_place_of(outdated))?;
    private_file::replace(keystore, &bytes)
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
fn adopt_keystore(
    manager: &KeyManager,
    keystore: &Path,
    password: &SecretString,
) -> Result<LocalAccount, KeyError> {
    match read_keystore(keystore, password) {
        Ok((account, stored)) => {
            manager.set_account(stored)?;
            Ok(account)
        }
        Err(KeyError::Missing(path)) => Err(KeyError::NoAccount(path)),
        Err(error) => Err(error),
    }
}
