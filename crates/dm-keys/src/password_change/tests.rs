use std::{fs, path::PathBuf, sync::Arc};

use dm_core::ports::Signer;
use tempfile::TempDir;

use super::*;
use crate::{KEY_FILE, SecretDirectory, private_file, private_file::interruption};

const PRIVATE_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

fn password(text: &str) -> SecretString {
    SecretString::new(text)
}

fn open(dir: &Path, text: &str) -> Result<NodeKeys, KeyError> {
    NodeKeys::open_with(
        Arc::new(SecretDirectory::at(dir)),
        Some(&password(text)),
        None,
        Cost::CHEAP,
    )
}

fn create() -> (TempDir, NodeKeys) {
    let dir = tempfile::tempdir().unwrap();
    let keys = NodeKeys::create_with(
        Arc::new(SecretDirectory::at(dir.path())),
        Some(&password("old")),
        None,
        Cost::CHEAP,
    )
    .unwrap();
    (dir, keys)
}

fn keystore(dir: &Path, text: &str) -> Result<LocalAccount, KeyError> {
    LocalAccount::open_keystore(&dir.join(KEYSTORE_FILE), &password(text))
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn after_the_change_the_new_password_opens_everything_and_the_old_one_nothing() {
    let (dir, keys) = create();
    let address = keys.signer().address();
    keys.change_password(&password("old"), &password("new")).unwrap();
    // The running node goes on.
    let version = keys.key_ring().rotate().unwrap();
    let again = open(dir.path(), "new").unwrap();
    assert_eq!(again.signer().address(), address);
    assert_eq!(again.key_ring().versions().last().unwrap().version, version);
    assert_eq!(keystore(dir.path(), "new").unwrap().address(), address);
    assert!(matches!(open(dir.path(), "old"), Err(KeyError::WrongPassword(_))));
    assert!(matches!(
        keystore(dir.path(), "old"),
        Err(KeyError::WrongPassword(_))
    ));
}

#[test]
fn a_password_that_is_wrong_or_cannot_be_used_changes_nothing() {
    let (dir, keys) = create();
    let before = files(dir.path());
    for (old, new) in [("wrong", "new"), ("", "new"), ("old", ""), ("old", "old")] {
        assert!(keys.change_password(&password(old), &password(new)).is_err());
        assert_eq!(files(dir.path()), before);
    }
    assert!(open(dir.path(), "old").is_ok());
}

#[test]
fn wherever_it_is_interrupted_one_of_both_passwords_opens_everything() {
    let mut opened_by = Vec::new();
    for step in 0.. {
        let (dir, keys) = create();
        let address = keys.signer().address();
        interruption::after(dir.path(), step);
        // What is interrupted while the keystore is written is no failure: it is made up for.
        let changed = keys.change_password(&password("old"), &password("new"));
        let is_done = !interruption::end(dir.path());
        drop(keys);
        let (right, wrong) = match open(dir.path(), "new") {
            Ok(_) => ("new", "old"),
            Err(_) => ("old", "new"),
        };
        assert!(changed.is_err() || right == "new");
        // The start may be interrupted in turn.
        for step in 0..2 * interruption::STEPS {
            interruption::after(dir.path(), step);
            drop(open(dir.path(), right));
            interruption::end(dir.path());
        }
        let keys = open(dir.path(), right).unwrap();
        assert_eq!(keys.signer().address(), address);
        assert_eq!(keystore(dir.path(), right).unwrap().address(), address);
        assert!(matches!(open(dir.path(), wrong), Err(KeyError::WrongPassword(_))));
        opened_by.push(right);
        if is_done {
            break;
        }
    }
    assert!(opened_by.len() > 2 * interruption::STEPS as usize);
    assert_eq!(opened_by.first(), Some(&"old"));
    assert!(opened_by.is_sorted_by_key(|password| *password == "new"));
}

#[test]
fn a_keystore_that_could_not_be_written_is_caught_up_with_by_the_next_change() {
    let (dir, keys) = create();
    // The key file is replaced, and the keystore is not.
    interruption::after(dir.path(), interruption::STEPS);
    keys.change_password(&password("old"), &password("new")).unwrap();
    assert!(interruption::end(dir.path()));
    assert!(keystore(dir.path(), "old").is_ok());
    keys.change_password(&password("new"), &password("newest"))
        .unwrap();
    assert!(keystore(dir.path(), "newest").is_ok());
    assert!(open(dir.path(), "newest").is_ok());
}

#[test]
fn a_keystore_that_is_not_in_use_comes_along_where_the_password_opens_it() {
    let (dir, keys) = create();
    let address = keys.signer().address();
    fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
    let configured = password(PRIVATE_KEY);
    let create = |text| {
        NodeKeys::create_with(
            Arc::new(SecretDirectory::at(dir.path())),
            Some(&password(text)),
            Some(&configured),
            Cost::CHEAP,
        )
    };
    create("old")
        .unwrap()
        .change_password(&password("old"), &password("new"))
        .unwrap();
    assert_eq!(keystore(dir.path(), "new").unwrap().address(), address);
    assert_eq!(open(dir.path(), "new").unwrap().signer().address(), address);

    // Now it has a password of its own.
    fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
    create("other")
        .unwrap()
        .change_password(&password("other"), &password("next"))
        .unwrap();
    assert_eq!(keystore(dir.path(), "new").unwrap().address(), address);
}

#[test]
fn a_foreign_keystore_stops_the_change() {
    let (dir, keys) = create();
    let path = dir.path().join(KEYSTORE_FILE);
    let foreign = LocalAccount::random()
        .to_keystore(&path, &password("old"), Cost::CHEAP)
        .unwrap();
    private_file::replace(&path, &foreign).unwrap();
    let before = files(dir.path());
    let refused = keys.change_password(&password("old"), &password("new"));
    assert!(matches!(refused, Err(KeyError::OtherAccount { .. })));
    assert_eq!(files(dir.path()), before);
}
