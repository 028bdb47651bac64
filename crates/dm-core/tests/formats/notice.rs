//! The signed notice.

use dm_core::{
    Address,
    envelope::ObjectId,
    hash::DataHash,
    notice::{MAX_NOTICE_LIFE, Notice, SignedNotice},
    ports::Signer,
    signed::{Signed, Statement, StatementError},
};
use dm_testing::signer::TestSigner;
use proptest::prelude::*;

const MADE: u64 = 1_764_460_800_000;

fn notice(sequence: u64, life: u64) -> Notice {
    Notice {
        sender: TestSigner::new(1).address(),
        recipient: Address::repeat_byte(2),
        object: ObjectId {
            locator: DataHash::of(b"data").locator(),
            owner: Address::repeat_byte(3),
        },
        sequence,
        made_at: MADE,
        ends_at: MADE.saturating_add(life),
    }
}

fn signed(notice: Notice) -> SignedNotice {
    Signed::sign(notice, &TestSigner::new(1)).unwrap()
}

#[test]
fn the_longest_notice_fits_into_its_bound() {
    let longest = Notice {
        made_at: u64::MAX - 1,
        ends_at: u64::MAX,
        ..notice(u64::MAX, 1)
    };
    assert!(signed(longest).bytes().len() <= Notice::MAX_BYTES);
}

#[test]
fn a_notice_of_another_signer_or_version_is_not_read() {
    let bytes = signed(notice(1, 1000)).bytes().clone();
    assert_eq!(SignedNotice::verify(bytes.clone()).unwrap().sequence, 1);
    let changed = |place: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[place] = value;
        SignedNotice::verify(bytes.into())
    };
    assert!(matches!(
        changed(65, 2),
        Err(StatementError::UnknownVersion {
            version: 2,
            newest: 1
        })
    ));
    assert!(matches!(changed(65, 0), Err(StatementError::Malformed)));
    // The recipient is another one.
    assert!(matches!(changed(90, 0), Err(StatementError::Signature { .. })));
}

#[test]
fn a_notice_has_an_end_within_ninety_days() {
    for (life, holds) in [
        (1, true),
        (MAX_NOTICE_LIFE, true),
        (0, false),
        (MAX_NOTICE_LIFE + 1, false),
    ] {
        assert_eq!(notice(1, life).check().is_ok(), holds, "{life}");
    }
    let backwards = Notice {
        ends_at: MADE - 1,
        ..notice(1, 0)
    };
    assert!(backwards.check().is_err());
}

#[test]
fn a_notice_counts_from_when_it_is_made_until_it_ends() {
    let notice = notice(1, 1000);
    let minute = 60_000;
    for (now, counts) in [
        (MADE, true),
        (MADE + 999, true),
        (MADE + 1000, false),
        (MADE - 4 * minute, true),
        (MADE - 6 * minute, false),
    ] {
        assert_eq!(notice.is_current(now), counts, "{now}");
    }
}

#[test]
fn each_recipient_has_a_place_of_its_own() {
    let place = Notice::inbox_key(Address::repeat_byte(2));
    assert_ne!(place, Notice::inbox_key(Address::repeat_byte(3)));
    let expected = "datamgmt/inbox/1".bytes().chain([2; 20]).collect::<Vec<u8>>();
    assert_eq!(place, *DataHash::of(&expected).as_bytes());
}

proptest! {
    #[test]
    fn random_bytes_are_no_notice(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(SignedNotice::verify(bytes.into()).is_err());
    }
}
