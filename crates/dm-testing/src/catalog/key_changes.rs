//! What [`KeyChanges`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::ports::{BegunKeyChange, KeyChange, KeyChanges};

use super::samples::address;

/// Makes a test of each promise of [`KeyChanges`].
#[macro_export]
macro_rules! key_changes_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, key_changes:
            changes_that_were_begun_are_remembered_until_they_end,
        }
    };
}

pub async fn changes_that_were_begun_are_remembered_until_they_end(catalog: &impl KeyChanges) {
    let changes = [
        KeyChange::KeyEncryptionKey { newest: 0 },
        KeyChange::KeyEncryptionKeyEnd { version: u32::MAX },
        KeyChange::GrantKey {
            newest: "00".repeat(32),
        },
        KeyChange::MasterPassword {
            generation: "a".to_owned(),
        },
        KeyChange::Operator {
            from: address(1),
            to: address(2),
        },
    ];
    let mut begun = Vec::new();
    for (number, change) in (0u8..).zip(changes) {
        begun.push(BegunKeyChange {
            id: [number; 16],
            change,
            events: u64::from(number),
        });
    }
    for change in begun.iter().rev() {
        catalog.begin_key_change(change).await.unwrap();
        catalog.begin_key_change(change).await.unwrap();
    }
    assert_eq!(catalog.begun_key_changes().await.unwrap(), begun);
    let ended = begun.remove(2);
    for _ in 0..2 {
        catalog.end_key_change(&ended.id).await.unwrap();
    }
    assert_eq!(catalog.begun_key_changes().await.unwrap(), begun);
}
