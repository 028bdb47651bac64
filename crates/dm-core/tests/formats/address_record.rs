//! The signed address record, byte for byte.

use bytes::Bytes;
use proptest::prelude::*;

use dm_core::{
    Address,
    address_record::{AddressRecord, OperatorConsent, SignedAddressRecord},
    node_attestation::NodeAttestation,
    ports::Signer,
    signed::{Signed, Statement, StatementError},
    user::KeyKind,
};
use dm_testing::signer::TestSigner;
use serde::Serialize;

fn record(sequence: u64) -> AddressRecord {
    let address = TestSigner::new(1).address();
    AddressRecord::new(address, [7; 32], "peer".to_owned(), sequence)
}

fn with_operator(sequence: u64) -> AddressRecord {
    let record = record(sequence);
    AddressRecord {
        operator: Some(OperatorConsent::give(&TestSigner::new(2), record.address, sequence).unwrap()),
        ..record
    }
}

fn signed(record: AddressRecord) -> SignedAddressRecord {
    Signed::sign(record, &TestSigner::new(1)).unwrap()
}

fn read(record: AddressRecord) -> Result<AddressRecord, StatementError> {
    SignedAddressRecord::verify(signed(record).bytes().clone()).map(|record| record.statement().clone())
}

/// As the program wrote it before there was a second version.
#[derive(Serialize)]
struct Before {
    address: Address,
    hpke_public_key: [u8; 32],
    peer_id: String,
    sequence: u64,
}

#[test]
fn a_record_of_version_1_is_read_and_written_as_before() {
    let plain = record(5);
    let before = Before {
        address: plain.address,
        hpke_public_key: plain.hpke_public_key,
        peer_id: plain.peer_id.clone(),
        sequence: plain.sequence,
    };
    let mut body = vec![1];
    body.extend(postcard::to_stdvec(&before).unwrap());
    assert_eq!(signed(plain.clone()).bytes()[65..], body);
    assert_eq!(plain.operator_account(), plain.address);
    assert_eq!(read(plain.clone()), Ok(plain));
}

#[test]
fn a_record_names_the_operator_account_that_has_agreed() {
    let named = with_operator(5);
    assert_eq!(named.operator_account(), TestSigner::new(2).address());
    assert_eq!(signed(named.clone()).bytes()[65], 2);
    assert_eq!(read(named.clone()), Ok(named));
}

#[test]
fn a_record_of_several_instances_is_of_version_3() {
    let others = || vec!["second".to_owned(), "third".to_owned()];
    for base in [record(5), with_operator(5)] {
        let of_all = AddressRecord {
            further_peers: others(),
            ..base
        };
        assert_eq!(signed(of_all.clone()).bytes()[65], 3);
        assert_eq!(of_all.peers().collect::<Vec<_>>(), ["peer", "second", "third"]);
        assert!(of_all.names("peer") && of_all.names("third") && !of_all.names("fourth"));
        assert_eq!(read(of_all.clone()), Ok(of_all));
    }
}

#[test]
fn the_longest_record_is_read() {
    let peers = |count| (0..count).map(|n| format!("{n:064}")).collect();
    let longest = AddressRecord {
        attestation: Some(attestation(1368)),
        further_peers: peers(15),
        ..with_operator(5)
    };
    assert_eq!(read(longest.clone()), Ok(longest));
}

#[test]
fn peers_that_are_too_many_too_long_or_named_twice_are_refused() {
    let lists: [Vec<String>; 4] = [
        (0..16).map(|n| format!("peer-{n}")).collect(),
        vec!["p".repeat(65)],
        vec![String::new()],
        vec!["peer".to_owned()],
    ];
    for further_peers in lists {
        let record = AddressRecord {
            further_peers,
            ..record(5)
        };
        assert!(matches!(read(record), Err(StatementError::Rule(_))));
    }
}

fn attestation(signature: usize) -> NodeAttestation {
    NodeAttestation {
        user_id: "u".repeat(100).parse().unwrap(),
        node_id: "☕".repeat(100),
        key: format!("sha256:{}", "a".repeat(64)),
        key_kind: KeyKind::Rsa,
        signature: "s".repeat(signature),
    }
}

#[test]
fn a_record_carries_the_attestation_of_the_node_by_any_kind_of_key() {
    for record in [record(5), with_operator(5)] {
        let attested = AddressRecord {
            attestation: Some(attestation(1368)),
            ..record
        };
        assert_eq!(signed(attested.clone()).bytes()[65], 2);
        assert_eq!(read(attested.clone()), Ok(attested));
    }
}

#[test]
fn an_attestation_without_bounds_is_refused() {
    let long = |change: &dyn Fn(&mut NodeAttestation)| {
        let mut attestation = attestation(88);
        change(&mut attestation);
        attestation
    };
    for attestation in [
        long(&|attestation| attestation.signature.push_str(&"s".repeat(1281))),
        long(&|attestation| attestation.node_id.push('n')),
        long(&|attestation| attestation.key.push('a')),
    ] {
        let record = AddressRecord {
            attestation: Some(attestation),
            ..record(5)
        };
        assert!(matches!(read(record), Err(StatementError::Rule(_))));
    }
}

#[test]
fn an_account_that_has_not_agreed_to_this_record_is_refused() {
    let consent = |sequence| with_operator(sequence).operator.unwrap();
    let claims = [
        // Given for an earlier record.
        consent(4),
        // Given by somebody else.
        OperatorConsent {
            account: TestSigner::new(3).address(),
            ..consent(5)
        },
        // Given for another address.
        OperatorConsent::give(&TestSigner::new(2), TestSigner::new(3).address(), 5).unwrap(),
        // By the address itself.
        OperatorConsent::give(&TestSigner::new(1), record(5).address, 5).unwrap(),
        OperatorConsent {
            signature: Vec::new(),
            ..consent(5)
        },
    ];
    for claim in claims {
        let claimed = AddressRecord {
            operator: Some(claim),
            ..record(5)
        };
        assert!(matches!(read(claimed), Err(StatementError::Rule(_))));
    }
}

#[test]
fn a_record_has_one_form_and_an_unknown_version_is_refused() {
    let plain = record(5);
    let fields = (
        plain.address,
        plain.hpke_public_key,
        &plain.peer_id,
        plain.sequence,
    );
    let long_form = postcard::to_stdvec(&(fields, 0_u8, 0_u8)).unwrap();
    let long_form_without_peers = postcard::to_stdvec(&plain).unwrap();
    let short_form = record(5).encode().unwrap().1;
    for (version, body) in [
        (2, long_form.clone()),
        (1, long_form),
        (0, short_form.clone()),
        (3, long_form_without_peers),
        (4, short_form),
    ] {
        let read = AddressRecord::decode(version, &body);
        let canonical = read.is_some_and(|record| record.encode().unwrap() == (version, body));
        assert!(!canonical, "version {version}");
    }
}

proptest! {
    #[test]
    fn no_altered_record_says_anything_else(position in 0usize..300, flip in 1u8..) {
        let record = signed(with_operator(1));
        let mut bytes = record.bytes().to_vec();
        let position = position % bytes.len();
        bytes[position] ^= flip;
        if let Ok(read) = SignedAddressRecord::verify(bytes.into()) {
            prop_assert_eq!(read.statement(), record.statement());
        }
    }

    #[test]
    fn random_bytes_are_no_record(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(SignedAddressRecord::verify(Bytes::from(bytes)).is_err());
    }
}
