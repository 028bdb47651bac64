use dm_core::secret::SecretString;
use proptest::prelude::*;

use super::*;
use crate::UserSigningKey;

const MESSAGE: &str = include_str!("../../tests/fixtures/users/message.json");

/// Public key, fingerprint and signature over the message, all by OpenSSL.
struct Fixture {
    kind: KeyKind,
    key: &'static str,
    fingerprint: &'static str,
    signature: &'static str,
}

macro_rules! user_file {
    ($($part:literal),+) => {
        include_str!(concat!("../../tests/fixtures/users/", $($part),+))
    };
}

macro_rules! fixture {
    ($kind:ident, $name:literal) => {
        Fixture {
            kind: KeyKind::$kind,
            key: user_file!($name, ".pub.pem"),
            fingerprint: user_file!($name, ".fingerprint"),
            signature: user_file!($name, ".sig"),
        }
    };
}

const FIXTURES: [Fixture; 4] = [
    fixture!(Rsa, "rsa2048"),
    fixture!(Rsa, "rsa8192"),
    fixture!(Ed25519, "ed25519"),
    fixture!(P256, "p256"),
];

const PRIVATE_KEYS: [(KeyKind, &str, &str); 3] = [
    (
        KeyKind::Rsa,
        user_file!("rsa2048.key.pem"),
        user_file!("rsa2048.pub.pem"),
    ),
    (
        KeyKind::Ed25519,
        user_file!("ed25519.key.pem"),
        user_file!("ed25519.pub.pem"),
    ),
    (
        KeyKind::P256,
        user_file!("p256.key.pem"),
        user_file!("p256.pub.pem"),
    ),
];

// The first account of the development mnemonic that anvil and hardhat share.
const ACCOUNT_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ACCOUNT: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn read(text: &str) -> UserPublicKey {
    UserPublicKey::parse(text).unwrap()
}

#[test]
fn keys_of_openssl_are_read_and_named_as_openssl_names_them() {
    for fixture in FIXTURES {
        let key = read(fixture.key);
        assert_eq!(key.kind(), fixture.kind);
        assert_eq!(key.fingerprint(), format!("sha256:{}", fixture.fingerprint));
        assert_eq!(read(key.text()).fingerprint(), key.fingerprint());
        let with_carriage_returns = format!("\n {}", fixture.key.replace('\n', "\r\n"));
        assert_eq!(read(&with_carriage_returns).fingerprint(), key.fingerprint());
    }
    let account = read(&format!(" {}\n", ACCOUNT.to_lowercase()));
    assert_eq!((account.kind(), account.text()), (KeyKind::Ethereum, ACCOUNT));
    assert_eq!(account.fingerprint(), ACCOUNT);
}

#[test]
fn signatures_of_openssl_count_for_their_key_and_message_alone() {
    for (at, fixture) in FIXTURES.iter().enumerate() {
        let key = read(fixture.key);
        assert_eq!(key.verify(MESSAGE, fixture.signature), Ok(()), "{key:?}");
        for other in [&MESSAGE[1..], "", &MESSAGE.replace("share", "grant")] {
            assert_eq!(
                key.verify(other, fixture.signature),
                Err(SignatureFault::Wrong),
                "{key:?}"
            );
        }
        for (_, other) in FIXTURES.iter().enumerate().filter(|(other, _)| *other != at) {
            assert_eq!(key.verify(MESSAGE, other.signature), Err(SignatureFault::Wrong));
        }
    }
}

#[test]
fn the_forms_that_tools_sign_in_by_default_count() {
    let rsa = read(user_file!("rsa2048.pub.pem"));
    let p256 = read(user_file!("p256.pub.pem"));
    let r_and_s = p1363(user_file!("p256.sig"));
    for (key, signature) in [
        (&rsa, user_file!("rsa2048-longsalt.sig")),
        (&rsa, user_file!("rsa2048-salt20.sig")),
        (&rsa, user_file!("rsa2048-nosalt.sig")),
        (&p256, r_and_s.as_str()),
    ] {
        assert_eq!(key.verify(MESSAGE, signature), Ok(()), "{key:?}");
        assert_eq!(key.verify("another", signature), Err(SignatureFault::Wrong));
        for other in [&rsa, &p256]
            .into_iter()
            .filter(|other| other.kind() != key.kind())
        {
            assert_eq!(other.verify(MESSAGE, signature), Err(SignatureFault::Wrong));
        }
    }
}

/// The same signature as r and s, which Java, .NET and browsers give out.
fn p1363(der: &str) -> String {
    let der = STANDARD.decode(der).unwrap();
    let number = |at: usize| {
        let length = usize::from(der[at + 1]);
        let digits = &der[at + 2..at + 2 + length];
        let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
        (
            at + 2 + length,
            [vec![0; 32 - digits.len()], digits.to_vec()].concat(),
        )
    };
    let (next, r) = number(2);
    STANDARD.encode([r, number(next).1].concat())
}

#[test]
fn pkcs1_is_told_from_a_wrong_signature_with_what_to_do() {
    let key = read(user_file!("rsa2048.pub.pem"));
    let signature = user_file!("refused/rsa2048-pkcs1.sig");
    let Err(SignatureFault::Malformed(expected)) = key.verify(MESSAGE, signature) else {
        panic!("it is in another form");
    };
    assert!(expected.contains("PKCS #1") && expected.contains("rsa_padding_mode:pss"));
    assert_eq!(key.verify("another", signature), Err(SignatureFault::Wrong));
}

#[test]
fn a_private_key_that_has_a_password_is_told_from_one_that_is_none() {
    for text in [
        user_file!("refused/encrypted.key.pem"),
        user_file!("refused/encrypted-traditional.key.pem"),
    ] {
        let error = UserSigningKey::parse(&SecretString::new(text)).unwrap_err();
        assert!(matches!(error, crate::KeyError::EncryptedUserKey));
        assert!(error.to_string().contains("openssl pkey"), "{error}");
        assert_eq!(UserPublicKey::parse(text).unwrap_err(), InvalidUserKey::Private);
    }
    let private = user_file!("ed25519.key.pem");
    assert_eq!(
        UserPublicKey::parse(private).unwrap_err(),
        InvalidUserKey::Private
    );
}

#[test]
fn a_byte_order_mark_before_a_key_does_not_count() {
    let marked = |text: &str| format!("\u{feff}{text}");
    let pem = user_file!("ed25519.pub.pem");
    assert_eq!(read(&marked(pem)).fingerprint(), read(pem).fingerprint());
    assert_eq!(read(&marked(ACCOUNT)).fingerprint(), ACCOUNT);
    for private in [user_file!("ed25519.key.pem"), ACCOUNT_KEY] {
        assert!(UserSigningKey::parse(&SecretString::new(marked(private))).is_ok());
    }
}

#[test]
fn every_kind_of_private_key_signs_what_its_public_key_verifies() {
    let account = (KeyKind::Ethereum, ACCOUNT_KEY, ACCOUNT);
    for (kind, private, public) in PRIVATE_KEYS.into_iter().chain([account]) {
        let key = UserSigningKey::parse(&SecretString::new(private)).unwrap();
        assert_eq!(key.kind(), kind);
        let signature = key.sign(MESSAGE).unwrap();
        assert_eq!(read(public).verify(MESSAGE, &signature), Ok(()), "{kind}");
        assert_eq!(
            read(public).verify("another", &signature),
            Err(SignatureFault::Wrong),
            "{kind}"
        );
        assert!(!format!("{key:?}").contains(&private[40..60]));
    }
}

#[test]
fn keys_of_another_kind_or_size_are_refused_with_the_reason() {
    for (text, reason) in [
        (user_file!("refused/rsa1024.pub.pem"), "not 1024"),
        (user_file!("refused/rsa2047.pub.pem"), "not 2047"),
        (user_file!("refused/rsapss.pub.pem"), "1.2.840.113549.1.1.10"),
        (user_file!("refused/ed448.pub.pem"), "1.3.101.113"),
        (user_file!("refused/x25519.pub.pem"), "1.3.101.110"),
        (user_file!("refused/p384.pub.pem"), "another curve"),
        (user_file!("refused/k1.pub.pem"), "another curve"),
        (user_file!("refused/p256x.pub.pem"), "another curve"),
    ] {
        let refused = UserPublicKey::parse(text).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn pem_with_rubbish_is_no_key() {
    let pem = user_file!("ed25519.pub.pem");
    let two = format!("{pem}{}", user_file!("p256.pub.pem"));
    let with_trailing_bytes = pem.replace("\n-----END", "AAAA\n-----END");
    for text in [
        &pem.replace("MCow", "MC?w"),
        &pem.replace("MCow", "MCox"),
        &pem.replace("MCow", ""),
        &with_trailing_bytes,
        &two,
        &format!("rubbish\n{pem}"),
        &format!("{pem}rubbish"),
        &pem.replace("-----END PUBLIC KEY-----", ""),
        &pem.replace("PUBLIC KEY", "CERTIFICATE"),
        &pem.replace("PUBLIC KEY", "RSA PUBLIC KEY"),
        &pem.replace("BEGIN PUBLIC KEY-----\n", "BEGIN PUBLIC KEY-----\nProc-Type: 4\n"),
        user_file!("ed25519.key.pem"),
        user_file!("ed25519.fingerprint"),
        &pem.repeat(100),
        "",
        "0x",
        "0xf39fd6e51aad88f6f4ce6ab8827279cfffb922660",
        &ACCOUNT.replace('f', "F"),
    ] {
        assert!(UserPublicKey::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_signature_in_another_form_is_told_from_a_wrong_one() {
    let malformed = |key: &str, signature: &str| {
        let fault = read(key).verify(MESSAGE, signature);
        matches!(fault, Err(SignatureFault::Malformed(_)))
    };
    let [.., ed25519, _] = FIXTURES;
    for text in ["?", "abc", &format!("{}\n", ed25519.signature), "0x000"] {
        assert!(malformed(ed25519.key, text), "{text}");
    }
    let account = UserSigningKey::parse(&SecretString::new(ACCOUNT_KEY)).unwrap();
    let signature = account.sign(MESSAGE).unwrap();
    for text in [
        ed25519.signature,
        &signature[2..],
        &signature[..130],
        &format!("{signature}00"),
        &signature.replace("0x", "0y"),
        &format!("{}1d", &signature[..130]),
    ] {
        assert!(malformed(ACCOUNT, text), "{text}");
    }
    assert!(malformed(ACCOUNT, &with_high_s(&signature)));
}

/// The other signature that the curve allows for the same message.
fn with_high_s(signature: &str) -> String {
    let bytes: [u8; 65] = hex::decode(signature).unwrap().try_into().unwrap();
    let low = Signature::from_raw_array(&bytes).unwrap();
    let order = alloy_primitives::U256::from_be_bytes(hex!(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
    ));
    let high = Signature::new(low.r(), order - low.s(), !low.v());
    assert!(high.recover_address_from_msg(MESSAGE).unwrap().to_string() == ACCOUNT);
    format!("0x{}", hex::encode(high.as_bytes()))
}

#[test]
fn a_wallet_that_counts_from_0_signs_as_well() {
    let account = UserSigningKey::parse(&SecretString::new(ACCOUNT_KEY)).unwrap();
    let signature = account.sign(MESSAGE).unwrap();
    let v = u8::from_str_radix(&signature[130..], 16).unwrap();
    let from_0 = format!("{}{:02x}", &signature[..130], v - 27);
    assert_eq!(read(ACCOUNT).verify(MESSAGE, &from_0), Ok(()));
}

#[test]
fn what_is_no_private_key_is_refused_and_not_repeated() {
    for text in [
        "",
        "secret",
        user_file!("ed25519.pub.pem"),
        &user_file!("rsa2048.key.pem").replace("PRIVATE KEY", "RSA PRIVATE KEY"),
        &user_file!("p256.key.pem")[..150],
    ] {
        let error = UserSigningKey::parse(&SecretString::new(text)).unwrap_err();
        assert!(matches!(error, crate::KeyError::InvalidUserKey));
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC{0,200}", der in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = UserPublicKey::parse(&text);
        let pem = format!("{PEM_BEGIN}\n{}\n{PEM_END}", STANDARD.encode(&der));
        let _ = UserPublicKey::parse(&pem);
        for fixture in FIXTURES {
            let key = read(fixture.key);
            prop_assert!(key.verify(MESSAGE, &text).is_err());
            prop_assert!(key.verify(MESSAGE, &STANDARD.encode(&der)).is_err());
        }
    }

    #[test]
    fn a_changed_key_is_another_one_or_none(fixture in 0usize..4, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let fixture = &FIXTURES[fixture];
        let mut der = SubjectPublicKeyInfoDer::from_pem_slice(fixture.key.as_bytes()).unwrap().to_vec();
        let at = at.index(der.len());
        der[at] ^= 1 << bit;
        let pem = format!("{PEM_BEGIN}\n{}\n{PEM_END}", STANDARD.encode(&der));
        if let Ok(other) = UserPublicKey::parse(&pem) {
            let key = read(fixture.key);
            prop_assert_ne!(other.fingerprint(), key.fingerprint());
            prop_assert!(other.verify(MESSAGE, fixture.signature).is_err());
        }
    }

    #[test]
    fn a_changed_signature_does_not_count(fixture in 0usize..4, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let fixture = &FIXTURES[fixture];
        let mut signature = STANDARD.decode(fixture.signature).unwrap();
        let at = at.index(signature.len());
        signature[at] ^= 1 << bit;
        prop_assert!(read(fixture.key).verify(MESSAGE, &STANDARD.encode(&signature)).is_err());
    }
}
