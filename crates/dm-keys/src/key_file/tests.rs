use std::sync::LazyLock;

use dm_core::secret::SecretString;
use proptest::prelude::*;

use super::*;
use crate::master_key::Cost;

struct Sample {
    bytes: Vec<u8>,
    keys: KeySet,
    master: MasterKey,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let kdf = KdfParams::fresh(Cost::FULL);
    let password = SecretString::new("password");
    let master = MasterKey::derive(path(), &password, &kdf, Cost::FULL).unwrap();
    let mut keys = KeySet::generate(Some(StoredAccount {
        address: Address::repeat_byte(7),
        secret: Secret::new([7; 32]),
        keystore_digest: [7; 32],
        replaced_keystore: Some([6; 32]),
    }));
    keys.add_key_encryption_key();
    keys.import_key_encryption_key(&Secret::new([8; 32]), 5);
    keys.grant_keys.push(GrantKey::generate());
    keys.operators
        .push(OperatorKey::unconfirmed(Secret::new([9; 32])));
    let bytes = write(path(), &keys, &kdf, &master).unwrap();
    Sample { bytes, keys, master }
});

fn path() -> &'static Path {
    Path::new("keys.json")
}

fn sample_file() -> KeyFile {
    parse(path(), &SAMPLE.bytes).unwrap()
}

/// The file after a change by somebody who repairs the checksum.
fn forged(change: impl FnOnce(&mut Content)) -> Result<KeyFile, KeyError> {
    let mut file = sample_file();
    change(&mut file.content);
    file.checksum = checksum(&content_json(path(), &file.content).unwrap(), &file.mac);
    parse(path(), &file_json(path(), &file).unwrap())
}

fn is_damaged<T>(result: &Result<T, KeyError>) -> bool {
    matches!(result, Err(KeyError::Damaged { .. }))
}

#[test]
fn what_was_written_is_read() {
    let keys = sample_file().open(path(), &SAMPLE.master).unwrap();
    assert!(keys.follows(&SAMPLE.keys) && SAMPLE.keys.follows(&keys));
    let versions = |keys: &KeySet| -> Vec<_> {
        let all = keys.key_encryption_keys.iter();
        all.map(|key| (key.info, key.secret.clone())).collect()
    };
    assert_eq!(versions(&keys), versions(&SAMPLE.keys));
    assert_eq!(keys.key_encryption_keys[2].info.imported_from, Some(5));
    let account = keys.account.unwrap();
    assert_eq!(*account.secret, [7; 32]);
    assert_eq!(account.replaced_keystore, Some([6; 32]));
    assert_eq!(*keys.operators[0].secret, [9; 32]);
}

#[test]
fn another_password_is_told_from_damage() {
    let password = SecretString::new("Password");
    let other = MasterKey::derive(path(), &password, sample_file().kdf(), Cost::FULL).unwrap();
    assert!(matches!(
        sample_file().open(path(), &other),
        Err(KeyError::WrongPassword(_))
    ));
}

#[test]
fn no_secret_stands_in_the_file() {
    let text = String::from_utf8(SAMPLE.bytes.clone()).unwrap();
    for key in &SAMPLE.keys.key_encryption_keys {
        assert!(!text.contains(&hex::encode(key.secret.as_slice())));
    }
    assert!(!text.contains("0707070707070707070707070707070707070707070707070707070707070707070707"));
}

#[test]
fn a_file_that_is_cut_short_anywhere_is_damaged() {
    for length in 0..SAMPLE.bytes.len() {
        assert!(
            is_damaged(&parse(path(), &SAMPLE.bytes[..length])),
            "{length} bytes"
        );
    }
    assert!(is_damaged(&parse(
        path(),
        &[SAMPLE.bytes.as_slice(), b"\n"].concat()
    )));
}

#[test]
fn changes_with_a_repaired_checksum_are_noticed() {
    let changes: [fn(&mut Content); 7] = [
        |content| content.key_encryption_keys.truncate(1),
        |content| content.key_encryption_keys[0].created_at += 1,
        |content| content.key_encryption_keys[0].token = content.key_encryption_keys[1].token.clone(),
        |content| content.grant_keys.swap(0, 1),
        |content| content.node_identity = content.key_encryption_keys[0].token.clone(),
        |content| content.account = None,
        |content| content.key_encryption_keys[2].imported_from = None,
    ];
    for change in changes {
        assert!(is_damaged(&forged(change).unwrap().open(path(), &SAMPLE.master)));
    }
    let other_check = forged(|content| content.password_check[0] ^= 1).unwrap();
    assert!(matches!(
        other_check.open(path(), &SAMPLE.master),
        Err(KeyError::WrongPassword(_))
    ));
}

#[test]
fn a_hostile_derivation_is_refused_before_it_begins() {
    let cases = [
        ("log_n\":17", "log_n\":63"),
        ("log_n\":17", "log_n\":255"),
        ("log_n\":17", "log_n\":16"),
        ("\"r\":8", "\"r\":4294967295"),
        ("\"r\":8", "\"r\":0"),
        ("\"p\":1", "\"p\":4294967295"),
        ("scrypt", "crypt"),
    ];
    for (old, new) in cases {
        let kdf = serde_json::to_string(sample_file().kdf()).unwrap();
        let hostile: KdfParams = serde_json::from_str(&kdf.replacen(old, new, 1)).unwrap();
        let password = SecretString::new("password");
        let result = MasterKey::derive(path(), &password, &hostile, Cost::FULL);
        assert!(matches!(result, Err(KeyError::Unsupported { .. })), "{new}");
    }
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let newer = forged(|content| content.version = 2);
    assert!(matches!(newer, Err(KeyError::Unsupported { .. })));
}

proptest! {
    #[test]
    fn a_flipped_bit_anywhere_is_noticed(position in 0..SAMPLE.bytes.len(), bit in 0..8u32) {
        let mut changed = SAMPLE.bytes.clone();
        changed[position] ^= 1 << bit;
        let error = parse(path(), &changed).unwrap_err();
        let noticed = matches!(error, KeyError::Damaged { .. } | KeyError::Unsupported { .. });
        prop_assert!(noticed, "{}", error);
    }

    #[test]
    fn random_bytes_are_no_key_file(bytes: Vec<u8>) {
        prop_assert!(parse(path(), &bytes).is_err());
    }
}
