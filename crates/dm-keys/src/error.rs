use std::{io, path::PathBuf};

use alloy_primitives::Address;
use dm_core::ports::{KeyRingError, SecretFilesError};

/// Why keys cannot be made, opened or kept. Each message is one line that says
/// what is wrong and, where there is something to do, what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No password was given, or an empty one; there is no default.
    #[error(
        "no master password: set KEY_MASTER_PASSWORD, or KEY_MASTER_PASSWORD_FILE to a file that holds it"
    )]
    NoPassword,
    /// The file is not there.
    #[error("{} does not exist: make keys with `init`, or restore the file from a backup", .0.display())]
    Missing(PathBuf),
    /// Keys are never overwritten.
    #[error("{} exists already and is not overwritten: it may hold the only copy of your keys", .0.display())]
    Exists(PathBuf),
    /// Others than the owner may access the file.
    #[error("{} can be accessed by others (mode {mode:03o}): run `chmod 600` on it, and think of its keys as seen", path.display())]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is intact, and the password does not open it.
    #[error("wrong password for {}", .0.display())]
    WrongPassword(PathBuf),
    /// The file was changed or cut short since it was written.
    #[error("{} is damaged ({reason}): restore it from a backup", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What does not hold.
        reason: String,
    },
    /// The file is in a form that this version does not know.
    #[error("{} cannot be read by this version: {reason}", path.display())]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// What is not known.
        reason: String,
    },
    /// The text given as private key is none.
    #[error("the private key must be 64 hexadecimal digits, and a valid secp256k1 key")]
    InvalidPrivateKey,
    /// The text given as a user's private key is none.
    #[error(
        "a user's key must be a PRIVATE KEY in PEM (PKCS #8, without a password) for RSA of at least 2048 bits, \
         Ed25519 or P-256, or 64 hexadecimal digits of an Ethereum account"
    )]
    InvalidUserKey,
    /// The user's private key is protected by a password of its own.
    #[error(
        "a user's key must be a PRIVATE KEY in PEM without a password, and this one has one: \
         `openssl pkey -in KEY -out PLAIN` takes it off"
    )]
    EncryptedUserKey,
    /// Neither a private key is configured nor do the files hold an account.
    #[error("no node account: set PRIVATE_KEY, or put its Web3 keystore file at {}", .0.display())]
    NoAccount(PathBuf),
    /// The keystore file was replaced by that of another account.
    #[error(
        "{} holds account {found}, the keys belong to {expected}: restore the file, delete it to have it \
         written again, or set PRIVATE_KEY to act as another account", path.display()
    )]
    OtherAccount {
        /// The keystore file.
        path: PathBuf,
        /// The account of the key file.
        expected: Address,
        /// The account of the keystore file.
        found: Address,
    },
    /// Another process gave the key file another password or identity.
    #[error("{} was replaced by another process: restart the node, with the new password where it has one", .0.display())]
    Replaced(PathBuf),
    /// The password that is to replace another one is that one.
    #[error("the new master password is the old one")]
    SamePassword,
    /// The medium failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<KeyError> for KeyRingError {
    fn from(error: KeyError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl KeyError {
    /// What went wrong with a file of secrets.
    pub(crate) fn of_files(action: &'static str, place: PathBuf) -> impl FnOnce(SecretFilesError) -> Self {
        move |error| match error {
            SecretFilesError::Conflict => Self::Replaced(place),
            SecretFilesError::Failed(source) => match source.downcast::<Self>() {
                Ok(error) => *error,
                Err(source) => Self::io(action, &place)(io::Error::other(source)),
            },
        }
    }

    /// Turns an error of the medium into one that names the file.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn damaged(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn unsupported(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::Unsupported {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
