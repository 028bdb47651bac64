#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use dm_core::{
    ports::{MasterPassword, PasswordError},
    secret::SecretString,
};

/// Knows a password and protects nothing.
#[derive(Debug)]
pub struct MemoryPassword(Mutex<(SecretString, u64)>);

impl MemoryPassword {
    /// The password to begin with.
    pub fn new(password: &str) -> Self {
        Self(Mutex::new((SecretString::new(password), 0)))
    }
}

impl MasterPassword for MemoryPassword {
    fn change(&self, old: &SecretString, new: &SecretString) -> Result<(), PasswordError> {
        let mut state = self.0.lock().unwrap();
        let (present, changes) = &mut *state;
        if present.expose() != old.expose() {
            return Err(PasswordError::Wrong);
        }
        if new.expose().is_empty() || new.expose() == old.expose() {
            return Err(PasswordError::Unusable);
        }
        *present = new.clone();
        *changes += 1;
        Ok(())
    }

    fn generation(&self) -> String {
        self.0.lock().unwrap().1.to_string()
    }
}

/// Every promise of a [`MasterPassword`] whose password is `present`.
pub fn run_master_password_suite(password: &dyn MasterPassword, present: &str) {
    let [present, next] = [present, "another password"].map(SecretString::new);
    let before = password.generation();
    let wrong = SecretString::new("a wrong password");
    assert_eq!(password.change(&wrong, &next), Err(PasswordError::Wrong));
    assert_eq!(password.change(&present, &present), Err(PasswordError::Unusable));
    let empty = SecretString::default();
    assert_eq!(password.change(&present, &empty), Err(PasswordError::Unusable));
    assert_eq!(password.generation(), before);
    assert_eq!(password.change(&present, &next), Ok(()));
    let changed = password.generation();
    assert_ne!(changed, before);
    assert_eq!(password.change(&present, &next), Err(PasswordError::Wrong));
    assert_eq!(password.generation(), changed);
    assert_eq!(password.change(&next, &present), Ok(()));
    assert!(![before, changed].contains(&password.generation()));
}
