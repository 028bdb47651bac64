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
    master_key::{Cost, KdfParams, MasterKey},
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
    keys: RwLock<KeySet>,
    /// What the file is encrypted under; held while it is changed.
    writing: Mutex<Protection>,
    cost: Cost,
}

/// What a key file is encrypted under.
struct Protection {
    kdf: KdfParams,
    master: MasterKey,
}

impl Protection {
    /// Of a new file, or one that gets another password.
    fn fresh(path: &Path, password: &SecretString, cost: Cost) -> Result<Self, KeyError> {
        let kdf = KdfParams::fresh(cost);
        let master = MasterKey::derive(path, password, &kdf, cost)?;
        Ok(Self { kdf, master })
    }

    /// Of a file that is there.
    fn of(path: &Path, file: &KeyFile, password: &SecretString, cost: Cost) -> Result<Self, KeyError> {
        let kdf = file.kdf().clone();
        let master = MasterKey::derive(path, password, &kdf, cost)?;
        Ok(Self { kdf, master })
    }

    fn write(&self, path: &Path, keys: &KeySet) -> Result<(), KeyError> {
        let bytes = key_file::write(path, keys, &self.kdf, &self.master)?;
        private_file::replace(path, &bytes)
    }
}

impl KeyManager {
    /// Makes a file with fresh keys. Takes one key derivation (0.3 s, 128 MiB).
    ///
    /// # Errors
    /// [`KeyError::NoPassword`], [`KeyError::Exists`], [`KeyError::Io`].
    pub fn create(path: &Path, password: &SecretString) -> Result<Self, KeyError> {
        Self::create_with(path, password, None, Cost::FULL)
    }

    pub(crate) fn create_with(
        path: &Path,
        password: &SecretString,
        account: Option<StoredAccount>,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        refuse_empty(password)?;
        let protection = Protection::fresh(path, password, cost)?;
        let keys = KeySet::generate(account);
        let _lock = private_file::lock(path)?;
        if private_file::exists(path)? {
            return Err(KeyError::Exists(path.to_owned()));
        }
        protection.write(path, &keys)?;
        Ok(Self::new(path, protection, keys, cost))
    }

    /// Opens a file. Takes one key derivation (0.3 s, 128 MiB).
    ///
    /// # Errors
    /// [`KeyError`] tells a missing file, permissions that are too wide, a
    /// wrong password and a damaged file apart.
    pub fn open(path: &Path, password: &SecretString) -> Result<Self, KeyError> {
        Self::open_with(path, password, Cost::FULL)
    }

    pub(crate) fn open_with(path: &Path, password: &SecretString, cost: Cost) -> Result<Self, KeyError> {
        refuse_empty(password)?;
        let file = read(path)?;
        let protection = Protection::of(path, &file, password, cost)?;
        let keys = file.open(path, &protection.master)?;
        Ok(Self::new(path, protection, keys, cost))
    }

    fn new(path: &Path, protection: Protection, keys: KeySet, cost: Cost) -> Self {
        Self {
            path: path.to_owned(),
            keys: RwLock::new(keys),
            writing: Mutex::new(protection),
            cost,
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
            let held = keys.key_encryption_keys.len();
            let imported = legacy_keys
                .iter()
                .map(|key| ImportedVersion {
                    legacy_version: key.version,
                    version: keys.import_key_encryption_key(&key.secret, key.version),
                })
                .collect();
            if keys.key_encryption_keys.len() > held {
                keys.add_key_encryption_key();
            }
            imported
        })
    }

    /// Replaces the HPKE key for grants by a fresh one and returns the public key.
    pub(crate) fn rotate_grant_key(&self) -> Result<[u8; 32], KeyError> {
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

    /// The key file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The salt of the present password, in hexadecimal digits: no secret, and another one
    /// for each password.
    pub(crate) fn salt(&self) -> String {
        let protection = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        hex::encode(protection.kdf.salt())
    }

    /// What a derivation costs for files of this manager.
    pub(crate) fn cost(&self) -> Cost {
        self.cost
    }

    /// Changes what the file holds, durably, and then what is in memory.
    fn update<R>(&self, change: impl FnOnce(&mut KeySet) -> R) -> Result<R, KeyError> {
        self.try_update(|keys| Ok(change(keys)))
    }

    /// Changes what the file holds, durably, and then what is in memory; neither where
    /// `change` fails.
    fn try_update<R, E: From<KeyError>>(
        &self,
        change: impl FnOnce(&mut KeySet) -> Result<R, E>,
    ) -> Result<R, E> {
        let protection = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = private_file::lock(&self.path)?;
        let mut keys = self.stored_keys(&protection)?;
        let result = change(&mut keys)?;
        protection.write(&self.path, &keys)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(result)
    }

    /// Encrypts the file anew under another password, and what `change` makes of the keys
    /// with it. Takes two key derivations.
    pub(crate) fn change_password<R>(
        &self,
        old: &SecretString,
        new: &SecretString,
        change: impl FnOnce(&mut KeySet) -> Result<R, KeyError>,
    ) -> Result<R, KeyError> {
        let mut protection = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = private_file::lock(&self.path)?;
        let mut keys = self.stored_keys(&protection)?;
        let given = MasterKey::derive(&self.path, old, &protection.kdf, self.cost)?;
        if !given.matches(&protection.master.password_check()) {
            return Err(KeyError::WrongPassword(self.path.clone()));
        }
        let result = change(&mut keys)?;
        let next = Protection::fresh(&self.path, new, self.cost)?;
        next.write(&self.path, &keys)?;
        *protection = next;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(result)
    }

    /// What the file holds now: all that is in memory, and what another
    /// process may have added.
    fn stored_keys(&self, protection: &Protection) -> Result<KeySet, KeyError> {
        let replaced = || KeyError::Replaced(self.path.clone());
        let file = read(&self.path)?;
        if *file.kdf() != protection.kdf {
            return Err(replaced());
        }
        let stored = file.open(&self.path, &protection.master)?;
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
            let Some(newest) = keys.key_encryption_keys.last() else {
                unreachable!("a key set has at least one key-encryption key")
            };
            WrappedKey {
                version: newest.info.version,
                token: newest.wrap(key),
            }
        })
    }

    fn unwrap(&self, key: &WrappedKey) -> Result<ContentKey, KeyRingError> {
        self.read_keys(|keys| {
            keys.key_encryption_key(key.version)
                .ok_or(KeyRingError::UnknownVersion(key.version))?
                .unwrap(&key.token)
                .ok_or(KeyRingError::Damaged)
        })
    }

    fn rotate(&self) -> Result<u32, KeyRingError> {
        Ok(self.update(KeySet::add_key_encryption_key)?)
    }

    fn destroy(&self, version: u32) -> Result<(), KeyRingError> {
        self.try_update(|keys| keys.remove_key_encryption_key(version))
    }

    fn versions(&self) -> Vec<KeyVersion> {
        self.read_keys(|keys| keys.key_encryption_keys.iter().map(|key| key.info).collect())
    }
}
