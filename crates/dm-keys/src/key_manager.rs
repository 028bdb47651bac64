use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock},
};

use dm_core::{
    ports::{KeyRing, KeyRingError, KeyVersion},
    secret::{ContentKey, SecretString},
    share::WrappedKey,
};
use zeroize::Zeroizing;

use crate::{
    KeyError,
    key_file::{self, KeyFile},
    key_set::{GrantKey, KeySet, OperatorKey, StoredAccount},
    legacy::{self, ImportedVersion},
    master_key::{KdfParams, MasterKey},
    private_file,
};

/// Keeps the node's keys in a file, encrypted under the master password: the
/// versions of its Fernet key, its HPKE keys, the seed of its network identity.
///
/// The password is needed once, to open; after that all keys are in memory, and
/// wrapping takes microseconds. Every change is durable before it is used, and
/// is made on what the file holds at that moment, so that a command-line tool
/// and a running node do not undo each other's changes.
pub struct KeyManager {
    path: PathBuf,
    kdf: KdfParams,
    master: MasterKey,
    keys: RwLock<KeySet>,
    /// Held while the file is changed.
    writing: Mutex<()>,
}

impl KeyManager {
    /// Makes a file with fresh keys. Takes one key derivation (0.3 s, 128 MiB).
    ///
    /// # Errors
    /// [`KeyError::NoPassword`], [`KeyError::Exists`], [`KeyError::Io`].
    pub fn create(path: &Path, password: &SecretString) -> Result<Self, KeyError> {
        Self::create_with(path, password, None)
    }

    pub(crate) fn create_with(
        path: &Path,
        password: &SecretString,
        account: Option<StoredAccount>,
    ) -> Result<Self, KeyError> {
        refuse_empty(password)?;
        let kdf = KdfParams::fresh();
        let master = MasterKey::derive(path, password, &kdf)?;
        let keys = KeySet::generate(account);
        let bytes = key_file::write(path, &keys, &kdf, &master)?;
        let _lock = private_file::lock(path)?;
        if private_file::exists(path)? {
            return Err(KeyError::Exists(path.to_owned()));
        }
        private_file::replace(path, &bytes)?;
        Ok(Self::new(path, kdf, master, keys))
    }

    /// Opens a file. Takes one key derivation (0.3 s, 128 MiB).
    ///
    /// # Errors
    /// [`KeyError`] tells a missing file, permissions that are too wide, a
    /// wrong password and a damaged file apart.
    pub fn open(path: &Path, password: &SecretString) -> Result<Self, KeyError> {
        refuse_empty(password)?;
        let file = read(path)?;
        let master = MasterKey::derive(path, password, file.kdf())?;
        let keys = file.open(path, &master)?;
        Ok(Self::new(path, file.kdf().clone(), master, keys))
    }

    fn new(path: &Path, kdf: KdfParams, master: MasterKey, keys: KeySet) -> Self {
        Self {
            path: path.to_owned(),
            kdf,
            master,
            keys: RwLock::new(keys),
            writing: Mutex::new(()),
        }
    }

    /// Adds the keys of an older node's `encryption_keys.json` as versions, so
    /// that what they wrap can be unwrapped, and makes a fresh version after
    /// them, so that none of them wraps anything new. Keys that are held
    /// already are not added again. Takes a second; blocking.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] and [`KeyError::Damaged`] where the file has
    /// not the form that the README describes, [`KeyError::WrongPassword`].
    pub fn import_legacy(
        &self,
        file: &Path,
        password: &SecretString,
    ) -> Result<Vec<ImportedVersion>, KeyError> {
        refuse_empty(password)?;
        let legacy_keys = legacy::read(file, password)?;
        self.update(|keys| {
            let held = keys.data_keys.len();
            let imported = legacy_keys
                .iter()
                .map(|key| ImportedVersion {
                    legacy_version: key.version,
                    version: keys.import_data_key(&key.secret, key.version),
                })
                .collect();
            if keys.data_keys.len() > held {
                keys.add_data_key();
            }
            imported
        })
    }

    /// Replaces the HPKE key for grants by a fresh one and returns the public
    /// key; grants for the old ones still open. The node must then announce a
    /// new address record.
    ///
    /// # Errors
    /// [`KeyError`] where the file cannot be changed.
    pub fn rotate_grant_key(&self) -> Result<[u8; 32], KeyError> {
        self.update(|keys| {
            let key = GrantKey::generate();
            let public = key.public;
            keys.grant_keys.push(key);
            public
        })
    }

    /// Seed of the node's network identity: the private key of Ed25519.
    pub fn identity_seed(&self) -> Zeroizing<[u8; 32]> {
        self.read_keys(|keys| keys.identity_seed.clone())
    }

    /// Changes the accounts that the node acts as on the chain.
    pub(crate) fn change_operators(
        &self,
        change: impl FnOnce(&mut Vec<OperatorKey>),
    ) -> Result<(), KeyError> {
        self.update(|keys| change(&mut keys.operators))
    }

    pub(crate) fn account(&self) -> Option<StoredAccount> {
        self.read_keys(|keys| keys.account.clone())
    }

    pub(crate) fn set_account(&self, account: StoredAccount) -> Result<(), KeyError> {
        self.update(|keys| keys.account = Some(account))
    }

    /// The file as it is now, encrypted.
    pub(crate) fn file_bytes(&self) -> Result<Vec<u8>, KeyError> {
        private_file::read(&self.path)
    }

    pub(crate) fn read_keys<R>(&self, read: impl FnOnce(&KeySet) -> R) -> R {
        read(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what the file holds, durably, and then what is in memory.
    fn update<R>(&self, change: impl FnOnce(&mut KeySet) -> R) -> Result<R, KeyError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = private_file::lock(&self.path)?;
        let mut keys = self.stored_keys()?;
        let result = change(&mut keys);
        let bytes = key_file::write(&self.path, &keys, &self.kdf, &self.master)?;
        private_file::replace(&self.path, &bytes)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(result)
    }

    /// What the file holds now: all that is in memory, and what another
    /// process may have added.
    fn stored_keys(&self) -> Result<KeySet, KeyError> {
        let replaced = || KeyError::Replaced(self.path.clone());
        let file = read(&self.path)?;
        if *file.kdf() != self.kdf {
            return Err(replaced());
        }
        let stored = file.open(&self.path, &self.master)?;
        if self.read_keys(|keys| stored.contains(keys)) {
            Ok(stored)
        } else {
            Err(replaced())
        }
    }
}

fn read(path: &Path) -> Result<KeyFile, KeyError> {
    key_file::parse(path, &private_file::read(path)?)
}

/// There is no default password.
pub(crate) fn refuse_empty(password: &SecretString) -> Result<(), KeyError> {
    if password.expose().is_empty() {
        Err(KeyError::NoPassword)
    } else {
        Ok(())
    }
}

impl fmt::Debug for KeyManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyManager")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl KeyRing for KeyManager {
    fn wrap(&self, key: &ContentKey) -> WrappedKey {
        self.read_keys(|keys| {
            let Some(newest) = keys.data_keys.last() else {
                unreachable!("a key set has at least one data key")
            };
            WrappedKey {
                version: newest.info.version,
                token: newest.wrap(key),
            }
        })
    }

    fn unwrap(&self, key: &WrappedKey) -> Result<ContentKey, KeyRingError> {
        self.read_keys(|keys| {
            (key.version as usize)
                .checked_sub(1)
                .and_then(|index| keys.data_keys.get(index))
                .ok_or(KeyRingError::UnknownVersion(key.version))?
                .unwrap(&key.token)
                .ok_or(KeyRingError::Damaged)
        })
    }

    fn rotate(&self) -> Result<u32, KeyRingError> {
        self.update(KeySet::add_data_key)
            .map_err(|error| KeyRingError::Failed(error.to_string()))
    }

    fn versions(&self) -> Vec<KeyVersion> {
        self.read_keys(|keys| keys.data_keys.iter().map(|key| key.info).collect())
    }
}
