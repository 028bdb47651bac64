use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::LocalAccount;

const SCRYPT: &[u8] = include_bytes!("../../tests/fixtures/keystore_scrypt.json");
const PBKDF2: &[u8] = include_bytes!("../../tests/fixtures/keystore_pbkdf2.json");
const SHORT: &[u8] = include_bytes!("../../tests/fixtures/keystore_31_bytes.json");
const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn open(bytes: &[u8], password: &str) -> Result<LocalAccount, KeyError> {
    LocalAccount::from_keystore(Path::new("test.json"), bytes, &SecretString::new(password))
}

fn address(account: &LocalAccount) -> String {
    dm_core::ports::Signer::address(account).to_string()
}

#[test]
fn keystores_of_another_implementation_open() {
    for file in [SCRYPT, PBKDF2] {
        assert_eq!(address(&open(file, "testpassword").unwrap()), ADDRESS);
        assert!(matches!(
            open(file, "testpasswore"),
            Err(KeyError::WrongPassword(_))
        ));
    }
}

#[test]
fn a_key_without_its_leading_zero_bytes_opens() {
    let account = open(SHORT, "testpassword").unwrap();
    assert_eq!(address(&account), "0xc0971daa0e5866AE5462008D376De132a468446A");
    assert_eq!(account.secret()[0], 0);
    assert!(matches!(
        open(SHORT, "testpasswore"),
        Err(KeyError::WrongPassword(_))
    ));
}

#[test]
fn what_editors_and_tools_put_around_a_keystore_does_not_count() {
    let text = std::str::from_utf8(PBKDF2).unwrap();
    let mut prefixed: Value = serde_json::from_str(text).unwrap();
    for pointer in [
        "/crypto/ciphertext",
        "/crypto/mac",
        "/crypto/cipherparams/iv",
        "/crypto/kdfparams/salt",
        "/address",
    ] {
        if let Some(field) = prefixed.pointer_mut(pointer) {
            *field = json!(format!("0x{}", field.as_str().unwrap()));
        }
    }
    for text in [
        format!("\u{feff}{text}"),
        format!("\n[{text}]\n"),
        format!("\u{feff}[{text}]"),
        prefixed.to_string(),
    ] {
        assert_eq!(address(&open(text.as_bytes(), "testpassword").unwrap()), ADDRESS);
    }
    let several = format!("[{text},{text}]");
    let refused = open(several.as_bytes(), "testpassword").unwrap_err();
    assert!(matches!(refused, KeyError::Unsupported { .. }));
    assert!(refused.to_string().contains("2 keystores"), "{refused}");
    assert!(open(b"[]", "testpassword").is_err());
}

#[test]
fn another_implementation_opens_our_keystore() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keystore.json");
    let account = LocalAccount::random();
    account
        .save_keystore(&path, &SecretString::new("pässword"))
        .unwrap();
    let key = eth_keystore::decrypt_key(&path, "pässword").unwrap();
    assert_eq!(key, account.secret().as_slice());
    let content: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(content["crypto"]["kdfparams"]["n"], 1 << 17);
    let again = account.save_keystore(&path, &SecretString::new("other"));
    assert!(matches!(again, Err(KeyError::Exists(_))));
}

#[test]
fn hostile_keystores_are_refused_at_once() {
    let changes = [
        ("/version", json!(4)),
        ("/address", json!("12")),
        ("/crypto/cipher", json!("aes-256-ctr")),
        ("/crypto/cipherparams/iv", json!("00")),
        ("/crypto/cipherparams/iv", json!("zz")),
        ("/crypto/ciphertext", json!("")),
        ("/crypto/ciphertext", json!("00".repeat(33))),
        ("/crypto/mac", json!("00".repeat(33))),
        ("/crypto/kdfparams/dklen", json!(8)),
        ("/crypto/kdfparams/dklen", json!(u32::MAX)),
        ("/crypto/kdfparams/n", json!(0)),
        ("/crypto/kdfparams/n", json!(8193)),
        ("/crypto/kdfparams/n", json!(u64::MAX)),
        ("/crypto/kdfparams/n", json!(1u64 << 63)),
        ("/crypto/kdfparams/n", json!(1u64 << 24)),
        ("/crypto/kdfparams/r", json!(0)),
        ("/crypto/kdfparams/r", json!(u32::MAX)),
        ("/crypto/kdfparams/p", json!(0)),
        ("/crypto/kdfparams/p", json!(u32::MAX)),
        ("/crypto/kdfparams/c", json!(0)),
        ("/crypto/kdfparams/c", json!(u32::MAX)),
        ("/crypto/kdfparams/prf", json!("hmac-md5")),
        ("/crypto/kdfparams", json!({})),
        ("/crypto", json!(null)),
    ];
    for (pointer, value) in changes {
        for file in [SCRYPT, PBKDF2] {
            let mut keystore: Value = serde_json::from_slice(file).unwrap();
            let Some(field) = keystore.pointer_mut(pointer) else {
                continue;
            };
            *field = value.clone();
            let error = open(keystore.to_string().as_bytes(), "testpassword").unwrap_err();
            assert!(
                matches!(error, KeyError::Damaged { .. } | KeyError::Unsupported { .. }),
                "{pointer} {value}: {error}"
            );
        }
    }
}

#[test]
fn an_address_that_is_not_the_keys_is_refused() {
    let mut keystore: Value = serde_json::from_slice(PBKDF2).unwrap();
    keystore["address"] = json!("00".repeat(20));
    let error = open(keystore.to_string().as_bytes(), "testpassword").unwrap_err();
    assert!(matches!(error, KeyError::Damaged { .. }));
}

proptest! {
    #[test]
    fn a_changed_byte_never_gives_another_account(position in 0..PBKDF2.len(), byte: u8) {
        let mut changed = PBKDF2.to_vec();
        changed[position] = byte;
        if let Ok(account) = open(&changed, "testpassword") {
            prop_assert_eq!(address(&account), ADDRESS);
        }
    }

    #[test]
    fn random_and_truncated_bytes_do_not_open(random: Vec<u8>, length in 0..PBKDF2.len() - 2) {
        prop_assert!(open(&random, "testpassword").is_err());
        prop_assert!(open(&PBKDF2[..length], "testpassword").is_err());
    }
}
