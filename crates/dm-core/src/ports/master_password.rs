use crate::secret::SecretString;

/// Protects the node's secrets on the disk.
pub trait MasterPassword: Send + Sync {
    /// Encrypts every secret file anew under another password. Whenever this is
    /// interrupted, either the old or the new password opens all of them. Takes some key
    /// derivations (a second); blocking.
    ///
    /// # Errors
    /// [`PasswordError`]; then nothing has changed.
    fn change(&self, old: &SecretString, new: &SecretString) -> Result<(), PasswordError>;

    /// Names what protects the secrets now: another text after each change, the same one
    /// otherwise, also after a restart. It says nothing of the password.
    fn generation(&self) -> String;
}

/// Why the master password is what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The password given as the old one is not the present one.
    #[error("is not the present master password")]
    Wrong,
    /// The new password is empty, or the old one.
    #[error("must not be empty, and another one than the old")]
    Unusable,
    /// The files could not be read or written.
    #[error("the keys could not be stored: {0}")]
    Failed(String),
}
