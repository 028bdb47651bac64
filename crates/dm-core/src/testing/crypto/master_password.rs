#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use crate::{
    ports::{MasterPassword, PasswordError},
    secret::SecretString,
};

/// Knows a password and protects nothing.
#[derive(Debug)]
pub struct MemoryPassword(Mutex<SecretString>);

impl MemoryPassword {
    /// The password to begin with.
    pub fn new(password: &str) -> Self {
        Self(Mutex::new(SecretString::new(password)))
    }
}

impl MasterPassword for MemoryPassword {
    fn change(&self, old: &SecretString, new: &SecretString) -> Result<(), PasswordError> {
        let mut present = self.0.lock().unwrap();
        if present.expose() != old.expose() {
            return Err(PasswordError::Wrong);
        }
        if new.expose().is_empty() || new.expose() == old.expose() {
            return Err(PasswordError::Unusable);
        }
        *present = new.clone();
        Ok(())
    }
}

/// Every promise of a [`MasterPassword`] whose password is `present`.
pub fn run_master_password_suite(password: &dyn MasterPassword, present: &str) {
    let [present, next] = [present, "another password"].map(SecretString::new);
    let wrong = SecretString::new("a wrong password");
    assert_eq!(password.change(&wrong, &next), Err(PasswordError::Wrong));
    assert_eq!(password.change(&present, &present), Err(PasswordError::Unusable));
    let empty = SecretString::default();
    assert_eq!(password.change(&present, &empty), Err(PasswordError::Unusable));
    assert_eq!(password.change(&present, &next), Ok(()));
    assert_eq!(password.change(&present, &next), Err(PasswordError::Wrong));
    assert_eq!(password.change(&next, &present), Ok(()));
}
