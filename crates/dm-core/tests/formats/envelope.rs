//! The signed envelope, byte for byte.

use proptest::prelude::*;

use dm_core::{
    envelope::{Envelope, SignedEnvelope},
    signed::{Signed, Statement, StatementError},
};
use dm_testing::{objects::SampleObject, signer::TestSigner};

fn ending(expires_at: Option<u64>) -> SignedEnvelope {
    let envelope = Envelope {
        expires_at,
        ..SampleObject::new(1, 1, 10).envelope.statement().clone()
    };
    Signed::sign(envelope, &TestSigner::new(1)).unwrap()
}

#[test]
fn an_envelope_without_an_end_has_the_form_that_it_always_had() {
    let bytes = ending(None).bytes().clone();
    assert_eq!(bytes[65], 1);
    let body = postcard::to_stdvec(ending(None).statement()).unwrap();
    assert_eq!(bytes[66..], body);
    assert_eq!(Signed::<Envelope>::verify(bytes).unwrap(), ending(None));
}

#[test]
fn the_end_is_signed_and_has_one_form() {
    let signed = ending(Some(300));
    assert_eq!(signed.bytes()[65], 2);
    let read = SignedEnvelope::verify(signed.bytes().clone()).unwrap();
    assert_eq!(read.expires_at, Some(300));
    let mut later = signed.bytes().to_vec();
    *later.last_mut().unwrap() += 1;
    let forged = SignedEnvelope::verify(later.into());
    assert!(
        matches!(forged, Err(StatementError::Signature { .. })),
        "{forged:?}"
    );
    let cut = signed.bytes().len() - 2;
    let mut without = signed.bytes()[..cut].to_vec();
    assert_eq!(
        SignedEnvelope::verify(without.clone().into()),
        Err(StatementError::Malformed)
    );
    without[65] = 1;
    let forged = SignedEnvelope::verify(without.into());
    assert!(
        matches!(forged, Err(StatementError::Signature { .. })),
        "{forged:?}"
    );
    for (version, extension) in [(1, vec![5]), (2, vec![0x80, 0]), (2, vec![5, 5]), (0, vec![])] {
        let mut bytes = ending(None).bytes().to_vec();
        bytes[65] = version;
        bytes.extend(extension);
        assert_eq!(
            SignedEnvelope::verify(bytes.into()),
            Err(StatementError::Malformed)
        );
    }
}

#[test]
fn a_tombstone_does_not_end() {
    let id = ending(None).id;
    let tombstone = Envelope {
        expires_at: Some(1),
        ..Envelope::tombstone(id, 1, 1)
    };
    let bytes = Signed::sign(tombstone, &TestSigner::new(1))
        .unwrap()
        .bytes()
        .clone();
    assert!(matches!(
        SignedEnvelope::verify(bytes),
        Err(StatementError::Rule(_))
    ));
}

proptest! {
    #[test]
    fn an_envelope_is_read_as_it_was_signed(expires_at in any::<Option<u64>>()) {
        let signed = ending(expires_at);
        prop_assert_eq!(SignedEnvelope::verify(signed.bytes().clone()), Ok(signed));
    }
}

#[test]
fn a_later_version_is_told_from_what_is_malformed() {
    let mut bytes = ending(None).bytes().to_vec();
    bytes[65] = 3;
    // It may also be longer than all that is known.
    for len in [bytes.len(), Envelope::MAX_BYTES + 1] {
        let mut later = bytes.clone();
        later.resize(len, 0);
        assert_eq!(
            SignedEnvelope::verify(later.into()),
            Err(StatementError::UnknownVersion {
                version: 3,
                newest: 2
            })
        );
    }
}
