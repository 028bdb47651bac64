use std::collections::BTreeMap;

use alloy_primitives::Address;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::CatalogError;

/// A change of the node's keys, with what was there before: whether it was made can be
/// seen from what is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum KeyChange {
    /// A further version of the key-encryption key.
    #[serde(rename = "data_key")]
    KeyEncryptionKey {
        /// The newest version before; 0 for none.
        newest: u32,
    },
    /// The end of a version of the key-encryption key.
    #[serde(rename = "data_key_end")]
    KeyEncryptionKeyEnd {
        /// Which one.
        version: u32,
    },
    /// A further key for grants.
    GrantKey {
        /// The newest public key before, in hexadecimal digits; empty for none.
        newest: String,
    },
    /// Another master password.
    MasterPassword {
        /// What [`MasterPassword::generation`](super::MasterPassword::generation) said before.
        generation: String,
    },
    /// Another operator account.
    Operator {
        /// The one before.
        from: Address,
        /// The one that takes over.
        to: Address,
    },
}

/// What the event of a change says of it.
pub type KeyChangeDetails = BTreeMap<String, String>;

/// A change of keys that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunKeyChange {
    /// Its name, at random.
    pub id: [u8; 16],
    /// What is to change.
    pub change: KeyChange,
    /// How many events the log had: its own stands behind them.
    pub events: u64,
}

/// Remembers changes of keys from before they are made until their events are in the log.
#[async_trait]
pub trait KeyChanges: Send + Sync {
    /// Remembers a change, durably, that is about to be made.
    async fn begin_key_change(&self, begun: &BegunKeyChange) -> Result<(), CatalogError>;

    /// The changes that were begun and not ended, oldest first.
    async fn begun_key_changes(&self) -> Result<Vec<BegunKeyChange>, CatalogError>;

    /// Forgets a change: its event is in the log, or it was not made.
    async fn end_key_change(&self, id: &[u8; 16]) -> Result<(), CatalogError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_key_encryption_key_keep_their_stored_form() {
        for (change, stored) in [
            (
                KeyChange::KeyEncryptionKey { newest: 1 },
                r#"{"kind":"data_key","newest":1}"#,
            ),
            (
                KeyChange::KeyEncryptionKeyEnd { version: 2 },
                r#"{"kind":"data_key_end","version":2}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&change).unwrap(), stored);
            assert_eq!(serde_json::from_str::<KeyChange>(stored).unwrap(), change);
        }
    }
}
