//! What every [`ComplianceLog`] promises, as checks on a log that is empty.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeSet, sync::Arc};

use alloy_primitives::{Address, B256};
use dm_core::{
    acknowledgement::Acknowledgement,
    envelope::ObjectId,
    event::{EventKind, NewEvent},
    hash::DataHash,
    ports::{ComplianceError, ComplianceLog, EventFilter, HistoryQuery, Signer},
    receipt::{Anchor, Receipt},
    signed::Signed,
};
use futures::future::join_all;

use crate::{
    signer::TestSigner,
    waiting::{PATIENCE, eventually, eventually_within},
};

/// A log under test, and switches for its chain.
pub trait TestedLog: Send + Sync {
    /// The log, empty in the beginning.
    fn log(&self) -> Arc<dyn ComplianceLog>;

    /// Lets the chain be away, or be back.
    fn set_chain_away(&self, away: bool);

    /// Lets the chain hold another history of the log.
    fn fork(&self);
}

/// Checks all promises, each on a fresh log.
pub async fn run_all<T: TestedLog>(make: impl AsyncFn() -> T) {
    events_get_positions_without_gaps(&make().await).await;
    events_at_the_same_time_get_positions_of_their_own(&make().await).await;
    an_anchored_event_has_a_receipt_that_is_valid(&make().await).await;
    an_altered_receipt_is_not_valid(&make().await).await;
    a_delivery_is_valid_with_the_statement_of_its_recipient_alone(&make().await).await;
    an_event_that_does_not_exist_is_an_error(&make().await).await;
    the_newest_event_that_matches_is_found(&make().await).await;
    the_history_is_paged_newest_first(&make().await).await;
    what_is_recorded_during_an_outage_is_anchored_after_it(&make().await).await;
    a_forked_log_refuses_and_says_so(&make().await).await;
}

/// The share of data number `n` with recipient number `n`.
pub fn share(n: u8) -> NewEvent {
    NewEvent::data_share(DataHash::of(&[n]), Address::repeat_byte(n))
}

/// Positions begin at 0; the event has what was given, the log's address, and
/// a nonce of its own.
pub async fn events_get_positions_without_gaps(tested: &dyn TestedLog) {
    let log = tested.log();
    let mut nonces = BTreeSet::new();
    for n in 0..5 {
        let recorded = log.record(share(n)).await.unwrap();
        assert_eq!(recorded.index, u64::from(n));
        assert_eq!(recorded.event.log, log.log_address());
        assert_eq!(recorded.event.data_hash, Some(DataHash::of(&[n])));
        assert_eq!(recorded.event.recipient, Some(Address::repeat_byte(n)));
        assert_eq!(recorded.event.event_type, EventKind::DataShare);
        assert!(nonces.insert(recorded.event.nonce));
    }
    assert_eq!(log.fault(), None);
}

/// Events that are recorded concurrently get distinct positions without gaps.
pub async fn events_at_the_same_time_get_positions_of_their_own(tested: &dyn TestedLog) {
    let log = tested.log();
    let recorded = join_all((0..100).map(|n| log.record(share(n)))).await;
    let positions: BTreeSet<_> = recorded
        .into_iter()
        .map(|recorded| recorded.unwrap().index)
        .collect();
    assert!(positions.into_iter().eq(0..100));
}

/// The receipt is of the event and leads to the anchor that was waited for.
pub async fn an_anchored_event_has_a_receipt_that_is_valid(tested: &dyn TestedLog) {
    let log = tested.log();
    for n in 0..10 {
        let recorded = log.record(share(n)).await.unwrap();
        let anchor = log
            .wait_for_anchor(recorded.index, PATIENCE)
            .await
            .unwrap()
            .unwrap();
        let receipt = log.receipt(recorded.index).await.unwrap().unwrap();
        assert_eq!(receipt.event, recorded.event);
        assert_eq!(receipt.leaf_index, recorded.index);
        assert_eq!(receipt.anchor, anchor);
        assert!(log.anchored_size().await.unwrap() > recorded.index);
    }
    for index in 0..10 {
        let receipt = log.receipt(index).await.unwrap().unwrap();
        assert!(log.verify(&receipt).await.unwrap().is_valid(), "{receipt:?}");
    }
}

/// A log can contain what nobody has signed; its receipt proves nothing.
pub async fn a_delivery_is_valid_with_the_statement_of_its_recipient_alone(tested: &dyn TestedLog) {
    let log = tested.log();
    let signer = TestSigner::new(9);
    let data_hash = DataHash::of(b"delivered");
    let statement = Acknowledgement {
        recipient: signer.address(),
        object: ObjectId {
            locator: data_hash.locator(),
            owner: log.log_address(),
        },
        commitment: Acknowledgement::commitment_to(&data_hash, signer.address()),
        sequence: 1,
        fetched_at: 1,
        made_at: 2,
    };
    let statement = Signed::sign(statement, &signer).unwrap();
    let honest = NewEvent::delivery(data_hash, &statement);
    let mut without = honest.clone();
    without.details.clear();
    let of_other_data = NewEvent::delivery(DataHash::of(b"other"), &statement);
    let not_its_own = NewEvent::acknowledgement(data_hash, &statement);
    for (event, holds) in [
        (honest, true),
        (without, false),
        (of_other_data, false),
        (not_its_own, false),
    ] {
        let index = anchored(&*log, event).await;
        let receipt = log.receipt(index).await.unwrap().unwrap();
        let verdict = log.verify(&receipt).await.unwrap();
        assert_eq!(verdict.is_valid(), holds, "{verdict:?}: {receipt:?}");
    }
}

/// Whatever is changed in a receipt, it is no longer valid.
pub async fn an_altered_receipt_is_not_valid(tested: &dyn TestedLog) {
    let log = tested.log();
    for n in 0..5 {
        anchored(&*log, share(n)).await;
    }
    let receipt = log.receipt(2).await.unwrap().unwrap();
    let alterations: [fn(&mut Receipt); 8] = [
        |receipt| receipt.version = 2,
        |receipt| receipt.event.timestamp += 1,
        |receipt| receipt.event.log = Address::repeat_byte(0xEE),
        |receipt| receipt.leaf_index += 1,
        |receipt| receipt.inclusion_proof.push(B256::ZERO),
        |receipt| receipt.checkpoint.root = B256::ZERO,
        |receipt| receipt.checkpoint.size = u64::MAX,
        |receipt| receipt.anchor.block += 1,
    ];
    for (n, alter) in alterations.into_iter().enumerate() {
        let mut altered = receipt.clone();
        alter(&mut altered);
        assert!(!log.verify(&altered).await.unwrap().is_valid(), "alteration {n}");
    }
}

/// There is neither anchor nor receipt for a position behind the end.
pub async fn an_event_that_does_not_exist_is_an_error(tested: &dyn TestedLog) {
    let log = tested.log();
    log.record(share(1)).await.unwrap();
    for index in [1, u64::MAX] {
        let waited = log.wait_for_anchor(index, PATIENCE).await;
        assert!(matches!(waited, Err(ComplianceError::NoEvent(no)) if no == index));
        let receipt = log.receipt(index).await;
        assert!(matches!(receipt, Err(ComplianceError::NoEvent(no)) if no == index));
    }
}

/// Of several events that match a filter, the newest is found.
pub async fn the_newest_event_that_matches_is_found(tested: &dyn TestedLog) {
    let log = tested.log();
    for n in [1, 2, 1, 3] {
        log.record(share(n)).await.unwrap();
    }
    let data_hash = DataHash::of(&[1]);
    let found = log
        .find(&EventFilter::shares_of(data_hash))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.index, found.event.data_hash), (2, Some(data_hash)));
    let stranger = EventFilter::share(data_hash, Address::repeat_byte(9));
    assert_eq!(log.find(&stranger).await.unwrap(), None);
}

/// Pages follow each other without gaps; lines of anchored events name the
/// transaction of their receipt.
pub async fn the_history_is_paged_newest_first(tested: &dyn TestedLog) {
    let log = tested.log();
    for n in 0..7 {
        anchored(&*log, share(n % 2)).await;
    }
    let mut query = HistoryQuery {
        filter: EventFilter::shares_of(DataHash::of(&[0])),
        before: None,
        limit: 3,
    };
    let mut positions = Vec::new();
    loop {
        let page = log.history(&query).await.unwrap();
        assert!(page.entries.len() <= 3);
        for line in page.entries {
            let receipt = log.receipt(line.index).await.unwrap().unwrap();
            assert_eq!(line.tx_hash, Some(receipt.anchor.tx_hash));
            assert_eq!(line.event, receipt.event);
            let anchors = log.anchors_of(&[line.index, 7]).await.unwrap();
            assert_eq!(anchors, [(line.index, receipt.anchor)].into());
            positions.push(line.index);
        }
        query.before = page.next;
        if query.before.is_none() {
            break;
        }
    }
    assert_eq!(positions, [6, 4, 2, 0]);
}

/// An outage of the chain delays anchors and receipts, and nothing else.
pub async fn what_is_recorded_during_an_outage_is_anchored_after_it(tested: &dyn TestedLog) {
    let log = tested.log();
    anchored(&*log, share(0)).await;
    tested.set_chain_away(true);
    let recorded = log.record(share(1)).await.unwrap();
    assert_eq!(log.wait_for_anchor(recorded.index, PATIENCE).await.unwrap(), None);
    assert_eq!(log.receipt(recorded.index).await.unwrap(), None);
    assert_eq!(log.anchored_size().await.unwrap(), 1);
    assert_eq!(newest_transaction(&*log).await, None);
    assert!(log.receipt(0).await.unwrap().is_some());

    tested.set_chain_away(false);
    let anchor = eventual_anchor(&*log, recorded.index).await;
    assert_eq!(newest_transaction(&*log).await, Some(anchor.tx_hash));
    let receipt = log.receipt(recorded.index).await.unwrap().unwrap();
    assert!(log.verify(&receipt).await.unwrap().is_valid());
}

/// Once the fork is seen, nothing is recorded; the reason can be read.
pub async fn a_forked_log_refuses_and_says_so(tested: &dyn TestedLog) {
    let log = tested.log();
    anchored(&*log, share(0)).await;
    tested.fork();
    let refused = eventually("the log refuses", async || log.record(share(1)).await.err()).await;
    assert!(matches!(refused, ComplianceError::Forked(_)), "{refused:?}");
    assert!(log.fault().is_some());
    let history = log.history(&everything()).await.unwrap();
    assert!(!history.entries.is_empty(), "what was recorded can still be read");
}

async fn anchored(log: &dyn ComplianceLog, event: NewEvent) -> u64 {
    let recorded = log.record(event).await.unwrap();
    eventual_anchor(log, recorded.index).await;
    recorded.index
}

/// The anchor of an event, though the chain may be known to be away still.
async fn eventual_anchor(log: &dyn ComplianceLog, index: u64) -> Anchor {
    eventually_within(2 * PATIENCE, "the event is anchored", async || {
        log.wait_for_anchor(index, PATIENCE).await.unwrap()
    })
    .await
}

fn everything() -> HistoryQuery {
    HistoryQuery {
        filter: EventFilter::default(),
        before: None,
        limit: 100,
    }
}

async fn newest_transaction(log: &dyn ComplianceLog) -> Option<B256> {
    let page = log.history(&everything()).await.unwrap();
    page.entries.into_iter().next().unwrap().tx_hash
}
