//! The signed acknowledgement, and the event that contains it.

use dm_core::{
    Address,
    acknowledgement::{Acknowledgement, EvidenceFlaw, SignedAcknowledgement},
    envelope::ObjectId,
    event::{Event, NewEvent},
    hash::DataHash,
    notice::{Notice, SignedNotice},
    ports::Signer,
    signed::{Signed, Statement, StatementError},
};
use dm_testing::signer::TestSigner;
use proptest::prelude::*;

const MADE: u64 = 1_764_460_800_000;
const DAY: u64 = 24 * 3_600_000;

fn recipient() -> Address {
    TestSigner::new(1).address()
}

fn owner() -> Address {
    Address::repeat_byte(3)
}

fn data_hash() -> DataHash {
    DataHash::of(b"data")
}

fn acknowledgement() -> Acknowledgement {
    Acknowledgement {
        recipient: recipient(),
        object: ObjectId {
            locator: data_hash().locator(),
            owner: owner(),
        },
        commitment: Acknowledgement::commitment_to(&data_hash(), recipient()),
        sequence: 4,
        fetched_at: MADE - 1000,
        made_at: MADE,
    }
}

fn signed(statement: Acknowledgement) -> SignedAcknowledgement {
    Signed::sign(statement, &TestSigner::new(1)).unwrap()
}

fn delivery() -> Event {
    NewEvent::delivery(data_hash(), &signed(acknowledgement())).into_event(owner(), MADE + 5)
}

fn own_event() -> Event {
    NewEvent::acknowledgement(data_hash(), &signed(acknowledgement())).into_event(recipient(), MADE + 5)
}

#[test]
fn the_longest_acknowledgement_fits_into_its_bound() {
    let longest = Acknowledgement {
        sequence: u64::MAX,
        fetched_at: u64::MAX,
        made_at: u64::MAX,
        ..acknowledgement()
    };
    assert!(signed(longest).bytes().len() <= Acknowledgement::MAX_BYTES);
}

#[test]
fn a_changed_byte_or_another_version_is_not_read() {
    let bytes = signed(acknowledgement()).bytes().clone();
    assert_eq!(SignedAcknowledgement::verify(bytes.clone()).unwrap().sequence, 4);
    for place in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[place] ^= 1;
        assert!(SignedAcknowledgement::verify(changed.into()).is_err(), "{place}");
    }
    let mut later = bytes.to_vec();
    later[65] = 2;
    let read = SignedAcknowledgement::verify(later.into());
    assert!(
        matches!(read, Err(StatementError::UnknownVersion { .. })),
        "{read:?}"
    );
}

#[test]
fn a_signature_for_a_notice_is_none_for_an_acknowledgement() {
    let notice = Notice {
        sender: recipient(),
        recipient: owner(),
        object: acknowledgement().object,
        sequence: 1,
        made_at: MADE,
        ends_at: MADE + 1,
    };
    let notice = Signed::sign(notice, &TestSigner::new(1)).unwrap();
    assert!(SignedAcknowledgement::verify(notice.bytes().clone()).is_err());
    let statement = signed(acknowledgement());
    assert!(SignedNotice::verify(statement.bytes().clone()).is_err());
}

#[test]
fn the_commitment_is_of_one_recipient_and_one_data_hash() {
    let statement = acknowledgement();
    assert!(statement.is_of(&data_hash()));
    assert!(!statement.is_of(&DataHash::of(b"other")));
    // What another recipient has sent is of no use to this one.
    let copied = Acknowledgement {
        commitment: Acknowledgement::commitment_to(&data_hash(), Address::repeat_byte(9)),
        ..acknowledgement()
    };
    assert!(!copied.is_of(&data_hash()));
    // Nor does a commitment count at another locator.
    let elsewhere = Acknowledgement {
        object: ObjectId {
            locator: DataHash::of(b"other").locator(),
            owner: owner(),
        },
        ..acknowledgement()
    };
    assert!(!elsewhere.is_of(&data_hash()));
}

#[test]
fn nobody_acknowledges_what_is_its_own_or_what_it_has_not_fetched_yet() {
    assert_eq!(acknowledgement().check(), Ok(()));
    let own = Acknowledgement {
        recipient: owner(),
        ..acknowledgement()
    };
    let early = Acknowledgement {
        fetched_at: MADE + 1,
        ..acknowledgement()
    };
    for wrong in [own, early] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
}

#[test]
fn an_acknowledgement_is_brought_for_thirty_days() {
    for (now, is_current) in [
        (MADE, true),
        (MADE + 30 * DAY - 1, true),
        (MADE + 30 * DAY, false),
        (MADE - 4 * 60_000, true),
        (MADE - 6 * 60_000, false),
    ] {
        assert_eq!(acknowledgement().is_current(now), is_current, "{now}");
    }
}

#[test]
fn an_event_of_either_side_contains_its_evidence() {
    let statement = signed(acknowledgement());
    for event in [delivery(), own_event()] {
        assert_eq!(event.evidence(), Ok(Some(statement.clone())));
        assert_eq!(event.trusted_evidence(), Some(statement.clone()));
    }
    let share = NewEvent::data_share(data_hash(), recipient()).into_event(owner(), MADE);
    assert_eq!(share.evidence(), Ok(None));
    assert_eq!(share.trusted_evidence(), None);
}

#[test]
fn evidence_for_another_event_does_not_hold() {
    let of = |change: fn(&mut Event)| {
        [delivery(), own_event()].map(|mut event| {
            change(&mut event);
            event.evidence()
        })
    };
    let other = |what| [(); 2].map(|()| Err(EvidenceFlaw::Other(what)));
    assert_eq!(
        of(|event| event.recipient = Some(Address::repeat_byte(9))),
        other("by another recipient")
    );
    assert_eq!(of(|event| event.recipient = None), other("by another recipient"));
    assert_eq!(
        of(|event| event.data_hash = Some(DataHash::of(b"other"))),
        other("about other data")
    );
    assert_eq!(of(|event| event.data_hash = None), other("about other data"));
    assert_eq!(
        of(|event| event.log = Address::repeat_byte(9)),
        other("for another log")
    );
    let missing = [(); 2].map(|()| Err(EvidenceFlaw::Missing));
    assert_eq!(of(|event| event.details.clear()), missing);
    let forged = of(|event| {
        let text = event.details.get_mut(Event::STATEMENT).unwrap();
        text.replace_range(..2, "ff");
    });
    for flaw in forged {
        assert!(matches!(flaw, Err(EvidenceFlaw::Statement(_))), "{flaw:?}");
    }
}

proptest! {
    #[test]
    fn random_bytes_are_no_acknowledgement(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(SignedAcknowledgement::verify(bytes.into()).is_err());
    }

    #[test]
    fn only_the_signer_speaks(signer in 2u8..200, sequence in any::<u64>()) {
        let mut statement = acknowledgement();
        statement.sequence = sequence;
        prop_assert!(Signed::sign(statement, &TestSigner::new(signer)).is_err());
    }
}
