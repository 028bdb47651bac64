//! Another master password for all secret files of a node.
//!
//! There are two of them: the key file, and the node account's keystore file, whose
//! account the key file holds as well. The key file is replaced first, as a whole. From that
//! moment on the new password opens it, and it says which keystore file is outdated: where
//! this is interrupted before that one is replaced, too, the next start does so.

use std::path::Path;

use dm_core::{
    ports::{MasterPassword, PasswordError},
    secret::SecretString,
};

use crate::{
    KEYSTORE_FILE, KeyError, KeyManager, LocalAccount, NodeKeys,
    key_manager::load,
    key_set::StoredAccount,
    master_key::Cost,
    node_keys::{ensure_keystore_of, replace_keystore, require, stored_account},
};

impl NodeKeys {
    /// Encrypts all files anew under another password. Takes up to four key derivations,
    /// one after the other (0.3 s and 128 MiB each); blocking.
    ///
    /// # Errors
    /// [`KeyError::WrongPassword`] where `old` is not the present password,
    /// [`KeyError::NoPassword`] and [`KeyError::SamePassword`] where `new` cannot take its
    /// place, and those of [`NodeKeys::open`]. Nothing has changed then.
    pub fn change_password(&self, old: &SecretString, new: &SecretString) -> Result<(), KeyError> {
        require(Some(new))?;
        if old.expose() == new.expose() {
            return Err(KeyError::SamePassword);
        }
        let manager = self.manager();
        let path = manager.files().place(KEYSTORE_FILE);
        let keystore = manager.change_password(old, new, |keys| {
            let outdated = present_keystore(manager)?;
            keys.account = match keys.account.take() {
                None => adopted(&path, outdated.as_deref(), old)?,
                known => known,
            };
            let renewed = keys
                .account
                .as_ref()
                .map(|account| renewed(account, &path, outdated.as_deref(), (old, new), manager.cost()))
                .transpose()?;
            let (account, bytes) = renewed.unzip();
            keys.account = account;
            Ok((outdated, bytes))
        })?;
        if let (outdated, Some(bytes)) = keystore
            && let Err(error) = replace_keystore(manager.files(), outdated.as_deref(), &bytes)
        {
            tracing::warn!(%error, "the keystore file is encrypted anew at the next start");
        }
        Ok(())
    }
}

fn present_keystore(manager: &KeyManager) -> Result<Option<Vec<u8>>, KeyError> {
    match load(manager.files(), KEYSTORE_FILE) {
        Err(KeyError::Missing(_)) => Ok(None),
        read => read.map(Some),
    }
}

/// The account of a keystore file that lies beside the keys and is not used: the private key
/// comes from the configuration. It is carried along where the password opens it.
fn adopted(
    path: &Path,
    keystore: Option<&[u8]>,
    password: &SecretString,
) -> Result<Option<StoredAccount>, KeyError> {
    let Some(bytes) = keystore else {
        return Ok(None);
    };
    match LocalAccount::from_keystore(path, bytes, password) {
        Ok(account) => Ok(Some(stored_account(&account, bytes))),
        Err(KeyError::WrongPassword(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The account with a keystore file under the new password, and that file.
fn renewed(
    stored: &StoredAccount,
    path: &Path,
    outdated: Option<&[u8]>,
    (old, new): (&SecretString, &SecretString),
    cost: Cost,
) -> Result<(StoredAccount, Vec<u8>), KeyError> {
    let account = LocalAccount::from_secret(&stored.secret)
        .ok_or_else(|| KeyError::damaged(path, "the account in the key file is none"))?;
    let is_known = |bytes: &&[u8]| stored.is_kept_in(bytes) || stored.was_kept_in(bytes);
    if let Some(bytes) = outdated.filter(|bytes| !is_known(bytes)) {
        ensure_keystore_of(&account, path, bytes, old)?;
    }
    let bytes = account.to_keystore(path, new, cost)?;
    Ok((stored_account(&account, &bytes).in_place_of(outdated), bytes))
}

impl MasterPassword for NodeKeys {
    fn change(&self, old: &SecretString, new: &SecretString) -> Result<(), PasswordError> {
        self.change_password(old, new).map_err(|error| match error {
            KeyError::WrongPassword(path) if path == self.manager().path() => PasswordError::Wrong,
            KeyError::NoPassword | KeyError::SamePassword => PasswordError::Unusable,
            error => PasswordError::Failed(error.to_string()),
        })
    }

    fn generation(&self) -> String {
        self.manager().salt()
    }
}

#[cfg(test)]
mod tests;
