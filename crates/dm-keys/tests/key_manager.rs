//! The key file across processes, rotations and imports.

use std::{fs, path::Path, sync::Arc};

use dm_core::{
    address::Address,
    address_record::AddressRecord,
    envelope::{Envelope, ObjectId},
    hash::DataHash,
    ports::{Grants, KeyRing, KeyRingError},
    secret::{ContentKey, SecretString},
    share::WrappedKey,
};
use dm_keys::{HpkeGrants, KeyError, KeyManager, grant_key_id};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn password() -> SecretString {
    SecretString::new("correct horse")
}

#[test]
fn keys_survive_a_restart_and_only_the_password_opens_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let manager = KeyManager::create(&path, &password()).unwrap();
    let key = ContentKey::random();
    let wrapped = manager.wrap(&key);
    assert_eq!(manager.rotate(), Ok(2));

    let reopened = KeyManager::open(&path, &password()).unwrap();
    assert_eq!(reopened.unwrap(&wrapped), Ok(key));
    assert_eq!(reopened.versions(), manager.versions());
    assert_eq!(*reopened.identity_seed(), *manager.identity_seed());

    let wrong = KeyManager::open(&path, &SecretString::new("wrong horse"));
    assert!(matches!(wrong, Err(KeyError::WrongPassword(_))));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let truncated = KeyManager::open(&path, &password());
    assert!(matches!(truncated, Err(KeyError::Damaged { .. })));
    assert!(matches!(manager.rotate(), Err(KeyRingError::Failed(_))));
    assert_eq!(manager.versions().len(), 2);
}

#[test]
fn keys_are_never_overwritten_and_need_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let no_password = SecretString::default();
    assert!(matches!(
        KeyManager::create(&path, &no_password),
        Err(KeyError::NoPassword)
    ));
    assert!(matches!(
        KeyManager::open(&path, &no_password),
        Err(KeyError::NoPassword)
    ));
    assert!(matches!(
        KeyManager::open(&path, &password()),
        Err(KeyError::Missing(_))
    ));
    assert!(!path.exists());
    fs::write(&path, "precious").unwrap();
    assert!(matches!(
        KeyManager::create(&path, &password()),
        Err(KeyError::Exists(_))
    ));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn two_processes_do_not_undo_each_others_rotations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let node = KeyManager::create(&path, &password()).unwrap();
    let tool = KeyManager::open(&path, &password()).unwrap();
    let key = ContentKey::random();
    assert_eq!(tool.rotate(), Ok(2));
    let wrapped_by_tool = tool.wrap(&key);
    assert_eq!(node.rotate(), Ok(3));
    assert_eq!(node.unwrap(&wrapped_by_tool), Ok(key));
}

#[test]
fn what_another_instance_made_of_the_keys_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let node = Arc::new(KeyManager::create(&path, &password()).unwrap());
    let other = Arc::new(KeyManager::open(&path, &password()).unwrap());
    let key = ContentKey::random();
    let wrapped_first = node.wrap(&key);
    assert_eq!(other.rotate(), Ok(2));
    let wrapped_second = other.wrap(&key);
    // A version that is not known is looked up.
    assert_eq!(node.unwrap(&wrapped_second), Ok(key.clone()));
    assert_eq!(node.wrap(&key).version, 2);

    other.destroy(1).unwrap();
    assert_eq!(node.unwrap(&wrapped_first), Ok(key));
    node.refresh().unwrap();
    assert_eq!(node.versions(), other.versions());
    assert_eq!(node.unwrap(&wrapped_first), Err(KeyRingError::UnknownVersion(1)));
    assert_eq!(node.rotate(), Ok(3));

    let address = Address::repeat_byte(9);
    let public_key = HpkeGrants::new(other, address).rotate().unwrap();
    node.refresh().unwrap();
    assert_eq!(HpkeGrants::new(node, address).public_key(), public_key);
}

#[test]
fn instances_that_rotate_at_once_make_a_version_each() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    KeyManager::create(&path, &password()).unwrap();
    let instances: Vec<_> = (0..3)
        .map(|_| KeyManager::open(&path, &password()).unwrap())
        .collect();
    let mut made: Vec<u32> = std::thread::scope(|scope| {
        let rotating: Vec<_> = instances
            .iter()
            .map(|instance| scope.spawn(|| (0..4).map(|_| instance.rotate().unwrap()).collect::<Vec<_>>()))
            .collect();
        rotating
            .into_iter()
            .flat_map(|instance| instance.join().unwrap())
            .collect()
    });
    made.sort_unstable();
    assert_eq!(made, (2..14).collect::<Vec<_>>());
}

#[test]
fn a_running_node_does_not_write_over_a_file_that_was_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let node = KeyManager::create(&path, &password()).unwrap();
    let older = fs::read(&path).unwrap();
    node.rotate().unwrap();
    fs::write(&path, &older).unwrap();
    assert!(matches!(node.rotate(), Err(KeyRingError::Failed(_))));
    assert_eq!(fs::read(&path).unwrap(), older);
}

#[test]
fn grants_for_an_old_key_still_open() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Arc::new(KeyManager::create(&dir.path().join("keys.json"), &password()).unwrap());
    let address = Address::repeat_byte(9);
    let grants = HpkeGrants::new(manager.clone(), address);
    let key = ContentKey::random();
    let id = ObjectId {
        locator: DataHash::of(b"data").locator(),
        owner: address,
    };
    let record = AddressRecord::new(address, grants.public_key(), "peer".to_owned(), 1);
    let grant = grants.grant(&key, &id, &record).unwrap();
    assert_eq!(grant.key_id, grant_key_id(&record.hpke_public_key));
    let public_key = grants.rotate().unwrap();
    assert_eq!(grants.public_key(), public_key);
    assert_ne!(public_key, record.hpke_public_key);
    let envelope = Envelope {
        id,
        size: 4,
        chunk_list: [0; 32],
        sequence: 1,
        created_at: 0,
        grants: vec![grant],
        attachments: Vec::new(),
        expires_at: None,
    };
    assert_eq!(grants.open_grant(&envelope), Ok(Some(key)));
}

#[test]
fn the_older_nodes_keys_unwrap_after_import_and_wrap_nothing_new() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let manager = KeyManager::create(&path, &password()).unwrap();
    let legacy_file = Path::new(FIXTURES).join("encryption_keys.json");
    let wrong = manager.import_legacy(&legacy_file, &password());
    assert!(matches!(wrong, Err(KeyError::WrongPassword(_))));
    assert_eq!(manager.versions().len(), 1);

    let legacy_password = SecretString::new("legacy password");
    let imported = manager.import_legacy(&legacy_file, &legacy_password).unwrap();
    let numbers: Vec<_> = imported
        .iter()
        .map(|key| (key.legacy_version, key.version))
        .collect();
    assert_eq!(numbers, [(1, 2), (2, 3), (3, 4)]);
    assert_eq!(manager.wrap(&ContentKey::random()).version, 5);
    assert_eq!(
        manager.import_legacy(&legacy_file, &legacy_password).unwrap(),
        imported
    );
    assert_eq!(manager.versions().len(), 5);

    let reopened = KeyManager::open(&path, &password()).unwrap();
    let wrapped = fs::read(Path::new(FIXTURES).join("wrapped_by_legacy_keys.json")).unwrap();
    let wrapped: std::collections::BTreeMap<u32, String> = serde_json::from_slice(&wrapped).unwrap();
    for key in imported {
        let wrapped = WrappedKey {
            version: key.version,
            token: wrapped[&key.legacy_version].clone(),
        };
        let content_key = ContentKey::from_bytes(std::array::from_fn(|index| index as u8));
        assert_eq!(reopened.unwrap(&wrapped), Ok(content_key));
    }
}

#[test]
fn a_legacy_file_of_another_form_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let manager = KeyManager::create(&path, &password()).unwrap();
    let before = fs::read(&path).unwrap();
    let legacy = fs::read_to_string(Path::new(FIXTURES).join("encryption_keys.json")).unwrap();
    let cases = [
        String::new(),
        "[]".to_owned(),
        "{\"salt\": \"\", \"current_version\": 1, \"keys\": {}}".to_owned(),
        legacy.replace("\"current_version\": 3", "\"current_version\": 4"),
        legacy.replace("\"1\"", "\"one\""),
        legacy.replace("\"1\": \"Z0FB", "\"1\": \"Z0FC"),
        legacy.replace("\"salt\": \"", "\"salt\": \"%"),
        legacy[..legacy.len() - 20].to_owned(),
    ];
    let file = dir.path().join("encryption_keys.json");
    for case in cases {
        fs::write(&file, &case).unwrap();
        let result = manager.import_legacy(&file, &SecretString::new("legacy password"));
        assert!(matches!(result, Err(KeyError::Damaged { .. })), "{case}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}
