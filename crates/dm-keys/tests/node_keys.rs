//! The directory of a node's keys as a whole.

use std::{fs, path::Path};

use dm_core::{
    ports::{OperatorKeyError, OperatorKeys, Signer},
    secret::SecretString,
};
use dm_keys::{KEY_FILE, KEYSTORE_FILE, KeyError, LocalAccount, NodeKeys};

const PRIVATE_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn password() -> SecretString {
    SecretString::new("testpassword")
}

fn open(dir: &Path) -> Result<NodeKeys, KeyError> {
    NodeKeys::open(dir, Some(&password()), None)
}

fn put_keystore(dir: &Path, bytes: &[u8]) {
    let path = dir.join(KEYSTORE_FILE);
    fs::write(&path, bytes).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_new_node_has_everything_and_finds_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made");
    assert!(!NodeKeys::exist(&dir).unwrap());
    let keys = NodeKeys::create(&dir, Some(&password()), None).unwrap();
    assert!(NodeKeys::exist(&dir).unwrap());
    let again = open(&dir).unwrap();
    assert_eq!(again.signer().address(), keys.signer().address());
    assert_eq!(again.grants().public_key(), keys.grants().public_key());
    assert_eq!(*again.identity_seed(), *keys.identity_seed());
    assert_eq!(again.key_ring().versions(), keys.key_ring().versions());

    let keystore = LocalAccount::open_keystore(&dir.join(KEYSTORE_FILE), &password()).unwrap();
    assert_eq!(keystore.address(), keys.signer().address());
    let second = NodeKeys::create(&dir, Some(&password()), None);
    assert!(matches!(second, Err(KeyError::Exists(_))));
}

#[cfg(unix)]
#[test]
fn all_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("keys");
    NodeKeys::create(&dir, Some(&password()), None).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in [KEY_FILE, KEYSTORE_FILE] {
        assert_eq!(mode(&dir.join(file)), 0o600);
    }
    fs::set_permissions(dir.join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, KeyError::Permissions { mode: 0o644, .. }));
    assert!(error.to_string().contains("chmod 600"));
}

#[test]
fn without_a_password_nothing_is_made_and_the_setting_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for password in [None, Some(&SecretString::default())] {
        let error = NodeKeys::create(dir.path(), password, None).unwrap_err();
        assert!(error.to_string().contains("KEY_MASTER_PASSWORD"));
        assert!(matches!(
            NodeKeys::open(dir.path(), password, None),
            Err(KeyError::NoPassword)
        ));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_failed_creation_leaves_no_keys() {
    let dir = tempfile::tempdir().unwrap();
    let invalid = SecretString::new("00");
    let error = NodeKeys::create(dir.path(), Some(&password()), Some(&invalid)).unwrap_err();
    assert!(matches!(error, KeyError::InvalidPrivateKey));
    put_keystore(dir.path(), b"{}");
    assert!(NodeKeys::create(dir.path(), Some(&password()), None).is_err());
    assert!(!NodeKeys::exist(dir.path()).unwrap());
    assert_eq!(fs::read(dir.path().join(KEYSTORE_FILE)).unwrap(), b"{}");
}

#[test]
fn a_private_key_from_the_configuration_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let private_key = SecretString::new(PRIVATE_KEY);
    let keys = NodeKeys::create(dir.path(), Some(&password()), Some(&private_key)).unwrap();
    assert_eq!(keys.signer().address().to_string(), ADDRESS);
    assert!(!dir.path().join(KEYSTORE_FILE).exists());
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, KeyError::NoAccount(_)), "{error}");
    put_keystore(dir.path(), include_bytes!("fixtures/keystore_pbkdf2.json"));
    assert_eq!(open(dir.path()).unwrap().signer().address().to_string(), ADDRESS);
}

#[test]
fn an_operators_own_keystore_becomes_the_account() {
    let dir = tempfile::tempdir().unwrap();
    put_keystore(dir.path(), include_bytes!("fixtures/keystore_scrypt.json"));
    NodeKeys::create(dir.path(), Some(&password()), None).unwrap();
    assert_eq!(open(dir.path()).unwrap().signer().address().to_string(), ADDRESS);
    // The same account, encrypted anew by another tool.
    put_keystore(dir.path(), include_bytes!("fixtures/keystore_pbkdf2.json"));
    assert_eq!(open(dir.path()).unwrap().signer().address().to_string(), ADDRESS);
}

#[test]
fn a_lost_keystore_is_written_again_and_a_foreign_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let address = NodeKeys::create(dir.path(), Some(&password()), None)
        .unwrap()
        .signer()
        .address();
    let keystore = dir.path().join(KEYSTORE_FILE);
    fs::remove_file(&keystore).unwrap();
    assert_eq!(open(dir.path()).unwrap().signer().address(), address);
    assert!(keystore.exists());
    put_keystore(dir.path(), include_bytes!("fixtures/keystore_pbkdf2.json"));
    assert!(matches!(open(dir.path()), Err(KeyError::OtherAccount { expected, .. }) if expected == address));
}

#[test]
fn secrets_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let private_key = SecretString::new(PRIVATE_KEY);
    let keys = NodeKeys::create(dir.path(), Some(&password()), Some(&private_key)).unwrap();
    let shown = format!("{keys:?}");
    assert!(!shown.contains("ac0974"));
    assert!(!shown.contains(&hex::encode(*keys.identity_seed())));
}

#[test]
fn the_log_goes_from_account_to_account_through_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("keys");
    let keys = NodeKeys::create(&dir, Some(&password()), None).unwrap();
    let own = keys.signer().address();
    assert_eq!(keys.operator().address(), own);

    let successor = keys.keep_successor(&SecretString::new(PRIVATE_KEY)).unwrap();
    assert_eq!(successor.address().to_string(), ADDRESS);
    let under_way = open(&dir).unwrap();
    assert_eq!(under_way.operator().address(), own);
    assert_eq!(under_way.successor().unwrap().address(), successor.address());

    under_way.confirm_successor().unwrap();
    let changed = open(&dir).unwrap();
    assert_eq!(changed.operator().address(), successor.address());
    assert_eq!(changed.signer().address(), own, "objects and grants stay its own");
    assert!(changed.successor().is_none());
    let former: Vec<_> = changed
        .former_operators()
        .iter()
        .map(|key| key.address())
        .collect();
    assert_eq!(former, [own]);
}

#[test]
fn one_successor_at_a_time_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("keys");
    let keys = NodeKeys::create(&dir, Some(&password()), None).unwrap();
    let first = keys.keep_successor(&SecretString::new(PRIVATE_KEY)).unwrap();
    let again = keys.keep_successor(&SecretString::new(PRIVATE_KEY)).unwrap();
    assert_eq!(again.address(), first.address());
    let second = keys.keep_successor(&SecretString::new("11".repeat(32))).err();
    assert_eq!(second, Some(OperatorKeyError::UnderWay(first.address())));
    let rubbish = keys.keep_successor(&SecretString::new("rubbish")).err();
    assert_eq!(rubbish, Some(OperatorKeyError::Invalid));
}
