use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use dm_core::{
    ports::{KeyRing, KeyRingError, KeyVersion, SecretFiles, SecretFilesError},
    secret::{ContentKey, SecretString},
    share::WrappedKey,
};
use zeroize::Zeroizing;

use crate::{
    KeyError, SecretDirectory,
    key_file::{self, KeyFile},
    key_set::{GrantKey, KeySet, OperatorKey, StoredAccount},
    legacy::{self, ImportedVersion},
    master_key::{Cost, KdfParams, MasterKey},
};

/// How often a change is made on what another writer has just made of the file.
const ATTEMPTS: usize = 100;

/// Keeps the node's keys in a file, encrypted under the master password: the
/// versions of its Fernet key, its HPKE keys, the seed of its network identity.
///
/// The password is needed once, to open; after that all keys are in memory, and
/// wrapping takes microseconds. Every change is durable before it is used, and
/// is made on what the file holds at that moment, so that command-line tools
/// and the instances of a node do not undo each other's changes.
pub struct KeyManager {
    files: Arc<dyn SecretFiles>,
    /// The file's name, and where it is.
    name: String,
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

    /// The bytes of the file with these keys.
    fn seal(&self, path: &Path, keys: &KeySet) -> Result<Vec<u8>, KeyError> {
        key_file::write(path, keys, &self.kdf, &self.master)
    }
}

impl KeyManager {
    /// Makes a file with fresh keys. Takes one key derivation (0.3 s, 128 MiB).
    ///
    /// # Errors
    /// [`KeyError::NoPassword`], [`KeyError::Exists`], [`KeyError::Io`].
    pub fn create(path: &Path, password: &SecretString) -> Result<Self, KeyError> {
        let (files, name) = SecretDirectory::of_file(path);
        Self::create_with(Arc::new(files), &name, password, None, Cost::FULL)
    }

    pub(crate) fn create_with(
        files: Arc<dyn SecretFiles>,
        name: &str,
        password: &SecretString,
        account: Option<StoredAccount>,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        refuse_empty(password)?;
        let path = files.place(name);
        let protection = Protection::fresh(&path, password, cost)?;
        let keys = KeySet::generate(account);
        let bytes = protection.seal(&path, &keys)?;
        files
            .replace(name, None, Some(&bytes))
            .map_err(|error| match error {
                SecretFilesError::Conflict => KeyError::Exists(path),
                error => KeyError::of_files("write", path)(error),
            })?;
        Ok(Self::new(files, name, protection, keys, cost))
    }

    /// Opens a file. Takes one key derivation (0.3 s, 128 MiB).
    ///
    /// # Errors
    /// [`KeyError`] tells a missing file, permissions that are too wide, a
    /// wrong password and a damaged file apart.
    pub fn open(path: &Path, password: &SecretString) -> Result<Self, KeyError> {
        let (files, name) = SecretDirectory::of_file(path);
        Self::open_with(Arc::new(files), &name, password, Cost::FULL)
    }

    pub(crate) fn open_with(
        files: Arc<dyn SecretFiles>,
        name: &str,
        password: &SecretString,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        refuse_empty(password)?;
        let path = files.place(name);
        let file = key_file::parse(&path, &load(&*files, name)?)?;
        let protection = Protection::of(&path, &file, password, cost)?;
        let keys = file.open(&path, &protection.master)?;
        Ok(Self::new(files, name, protection, keys, cost))
    }

    fn new(
        files: Arc<dyn SecretFiles>,
        name: &str,
        protection: Protection,
        keys: KeySet,
        cost: Cost,
    ) -> Self {
        Self {
            path: files.place(name),
            name: name.to_owned(),
            files,
            keys: RwLock::new(keys),
            writing: Mutex::new(protection),
            cost,
        }
    }

    /// Takes over what other instances, or commands, have made of the keys. Blocks while
    /// the file is read.
    ///
    /// # Errors
    /// [`KeyError::Replaced`] where it has another password or is an older one, and those
    /// of [`KeyManager::open`]; the keys stay as they are then.
    pub fn refresh(&self) -> Result<(), KeyError> {
        let protection = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, keys) = self.stored_keys(&protection)?;
        self.hold(keys);
        Ok(())
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
        mut change: impl FnMut(&mut Vec<OperatorKey>),
    ) -> Result<(), KeyError> {
        self.update(|keys| change(&mut keys.operators))
    }

    pub(crate) fn account(&self) -> Option<StoredAccount> {
        self.read_keys(|keys| keys.account.clone())
    }

    pub(crate) fn set_account(&self, account: &StoredAccount) -> Result<(), KeyError> {
        self.update(|keys| keys.account = Some(account.clone()))
    }

    /// The file as it is now, encrypted.
    pub(crate) fn file_bytes(&self) -> Result<Vec<u8>, KeyError> {
        load(&*self.files, &self.name)
    }

    pub(crate) fn read_keys<R>(&self, read: impl FnOnce(&KeySet) -> R) -> R {
        read(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the file is, and others beside it.
    pub(crate) fn files(&self) -> &dyn SecretFiles {
        &*self.files
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
    fn update<R>(&self, mut change: impl FnMut(&mut KeySet) -> R) -> Result<R, KeyError> {
        self.try_update(|keys| Ok(change(keys)))
    }

    /// Changes what the file holds, durably, and then what is in memory; neither where
    /// `change` fails. It is called again where another writer was first.
    fn try_update<R, E: From<KeyError>>(
        &self,
        mut change: impl FnMut(&mut KeySet) -> Result<R, E>,
    ) -> Result<R, E> {
        let protection = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            let (before, mut keys) = self.stored_keys(&protection)?;
            let result = change(&mut keys)?;
            if self.replace(&before, &protection.seal(&self.path, &keys)?)? {
                self.hold(keys);
                return Ok(result);
            }
        }
        Err(KeyError::Replaced(self.path.clone()).into())
    }

    /// Encrypts the file anew under another password, and what `change` makes of the keys
    /// with it. Takes two key derivations.
    pub(crate) fn change_password<R>(
        &self,
        old: &SecretString,
        new: &SecretString,
        mut change: impl FnMut(&mut KeySet) -> Result<R, KeyError>,
    ) -> Result<R, KeyError> {
        let mut protection = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let given = MasterKey::derive(&self.path, old, &protection.kdf, self.cost)?;
        if !given.matches(&protection.master.password_check()) {
            return Err(KeyError::WrongPassword(self.path.clone()));
        }
        for _ in 0..ATTEMPTS {
            let (before, mut keys) = self.stored_keys(&protection)?;
            let result = change(&mut keys)?;
            let next = Protection::fresh(&self.path, new, self.cost)?;
            if self.replace(&before, &next.seal(&self.path, &keys)?)? {
                *protection = next;
                self.hold(keys);
                return Ok(result);
            }
        }
        Err(KeyError::Replaced(self.path.clone()))
    }

    fn hold(&self, keys: KeySet) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Replaces the file; false where another writer was first.
    fn replace(&self, before: &[u8], bytes: &[u8]) -> Result<bool, KeyError> {
        match self.files.replace(&self.name, Some(before), Some(bytes)) {
            Ok(()) => Ok(true),
            Err(SecretFilesError::Conflict) => Ok(false),
            Err(error) => Err(KeyError::of_files("write", self.path.clone())(error)),
        }
    }

    /// What the file holds now: its bytes, and the keys in memory with what others may
    /// have made of them.
    fn stored_keys(&self, protection: &Protection) -> Result<(Vec<u8>, KeySet), KeyError> {
        let replaced = || KeyError::Replaced(self.path.clone());
        let bytes = self.file_bytes()?;
        let file = key_file::parse(&self.path, &bytes)?;
        if *file.kdf() != protection.kdf {
            return Err(replaced());
        }
        let stored = file.open(&self.path, &protection.master)?;
        if self.read_keys(|keys| stored.follows(keys)) {
            Ok((bytes, stored))
        } else {
            Err(replaced())
        }
    }

    fn unwrap_with_known(&self, key: &WrappedKey) -> Result<ContentKey, KeyRingError> {
        self.read_keys(|keys| {
            keys.key_encryption_key(key.version)
                .ok_or(KeyRingError::UnknownVersion(key.version))?
                .unwrap(&key.token)
                .ok_or(KeyRingError::Damaged)
        })
    }
}

/// The content of a file of secrets.
pub(crate) fn load(files: &dyn SecretFiles, name: &str) -> Result<Vec<u8>, KeyError> {
    let loaded = files.load(name);
    loaded
        .map_err(KeyError::of_files("read", files.place(name)))?
        .ok_or_else(|| KeyError::Missing(files.place(name)))
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
        match self.unwrap_with_known(key) {
            // Another instance may just have made it.
            Err(KeyRingError::UnknownVersion(_)) => {
                self.refresh()?;
                self.unwrap_with_known(key)
            }
            known => known,
        }
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

    fn refresh(&self) -> Result<(), KeyRingError> {
        Ok(self.refresh()?)
    }
}
