//! What every adapter of [`Anchors`] promises.

use std::{any::Any, sync::Arc};

use alloy_primitives::{Address, B256};
use dm_core::{
    event::NewEvent,
    hash::DataHash,
    ports::{AnchorHead, AnchorRequest, Anchors, ChainError},
    receipt::{Anchor, Receipt},
};

use super::reference::ReferenceLog;
use crate::chain::Mine;

/// Anchors under test; both accounts have no log yet and can pay for gas.
pub struct AnchorsFixture {
    /// The adapter.
    pub anchors: Arc<dyn Anchors>,
    /// The account whose log it anchors.
    pub account: Address,
    /// The adapter for another account on the same chain.
    pub other: Arc<dyn Anchors>,
    /// That account.
    pub other_account: Address,
    /// Id of the chain.
    pub chain_id: u64,
    /// Adds a block.
    pub mine: Mine,
    /// What must live as long as the test, such as a process.
    pub guard: Box<dyn Any + Send + Sync>,
}

/// Generates one test for each promise of [`Anchors`]. `$make` is an
/// `async fn() -> Option<AnchorsFixture>`; where it returns `None` the promise is
/// not tested.
#[macro_export]
macro_rules! anchors_conformance {
    ($make:path) => {
        $crate::anchors_conformance!(@tests $make,
            a_new_log_has_no_head
            what_was_anchored_is_held_and_nothing_else
            a_log_grows_by_consistent_checkpoints
            earlier_checkpoints_stay_provable
            a_rewritten_log_is_refused
            a_checkpoint_must_be_larger_than_the_one_before
            the_previous_root_must_be_the_anchored_one
            a_changed_proof_is_refused
            an_anchor_is_found_by_its_transaction_and_by_its_head
            a_receipt_is_proven_and_none_that_differs
            logs_of_two_accounts_are_apart
        );
    };
    (@tests $make:path, $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                if let Some(fixture) = $make().await {
                    $crate::anchors::conformance::$promise(&fixture).await;
                }
            }
        )*
    };
}

/// The request to anchor a log from one size to another; 0 for none before.
pub fn request(log: &ReferenceLog, from: u64, to: u64) -> AnchorRequest {
    AnchorRequest {
        previous: (from > 0).then(|| log.checkpoint(from)),
        next: log.checkpoint(to),
        consistency_proof: if from > 0 {
            log.consistency(from, to)
        } else {
            Vec::new()
        },
    }
}

impl AnchorsFixture {
    /// Anchors and waits for it.
    pub async fn anchor(&self, log: &ReferenceLog, from: u64, to: u64) -> Anchor {
        let tx_hash = self.anchors.submit_anchor(&request(log, from, to)).await.unwrap();
        (self.mine)().await;
        let anchor = self.anchors.wait_for_anchor(tx_hash).await.unwrap();
        assert_eq!(anchor.tx_hash, tx_hash);
        anchor
    }

    async fn assert_refused(&self, request: &AnchorRequest) {
        let refusal = self.anchors.submit_anchor(request).await;
        assert!(matches!(refusal, Err(ChainError::Reverted(_))), "{refusal:?}");
    }
}

fn head(size: u64, anchor: &Anchor) -> AnchorHead {
    AnchorHead {
        size,
        block: anchor.block,
        timestamp: anchor.timestamp,
    }
}

/// Nobody has anchored, so there is nothing.
pub async fn a_new_log_has_no_head(fixture: &AnchorsFixture) {
    assert_eq!(fixture.anchors.anchor_head(fixture.account).await, Ok(None));
}

/// The contract confirms the very values that it accepted.
pub async fn what_was_anchored_is_held_and_nothing_else(fixture: &AnchorsFixture) {
    let log = ReferenceLog::numbered(5, 1);
    let anchor = fixture.anchor(&log, 0, 5).await;
    assert_eq!(anchor.chain_id, fixture.chain_id);
    let newest = fixture
        .anchors
        .anchor_head(fixture.account)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(newest, head(5, &anchor));
    let held = async |account, checkpoint, head| {
        fixture
            .anchors
            .is_anchored(account, &checkpoint, &head)
            .await
            .unwrap()
    };
    let checkpoint = log.checkpoint(5);
    assert!(held(fixture.account, checkpoint, newest).await);
    assert!(!held(fixture.other_account, checkpoint, newest).await);
    assert!(!held(fixture.account, log.checkpoint(4), newest).await);
    let mut other_root = checkpoint;
    other_root.root.0[0] ^= 1;
    assert!(!held(fixture.account, other_root, newest).await);
    let (mut other_block, mut other_time) = (newest, newest);
    other_block.block += 1;
    other_time.timestamp += 1;
    assert!(!held(fixture.account, checkpoint, other_block).await);
    assert!(!held(fixture.account, checkpoint, other_time).await);
}

/// Steps from and to powers of two and between them.
pub async fn a_log_grows_by_consistent_checkpoints(fixture: &AnchorsFixture) {
    let log = ReferenceLog::numbered(300, 1);
    let sizes = [1, 2, 3, 4, 7, 8, 9, 31, 64, 65, 255, 300];
    let mut from = 0;
    for to in sizes {
        let anchor = fixture.anchor(&log, from, to).await;
        let newest = fixture.anchors.anchor_head(fixture.account).await.unwrap();
        assert_eq!(newest, Some(head(to, &anchor)));
        from = to;
    }
}

/// Later checkpoints do not replace earlier ones.
pub async fn earlier_checkpoints_stay_provable(fixture: &AnchorsFixture) {
    let log = ReferenceLog::numbered(9, 1);
    let first = fixture.anchor(&log, 0, 3).await;
    fixture.anchor(&log, 3, 9).await;
    let held = fixture
        .anchors
        .is_anchored(fixture.account, &log.checkpoint(3), &head(3, &first))
        .await;
    assert_eq!(held, Ok(true));
}

/// A log whose anchored part was changed finds no way on.
pub async fn a_rewritten_log_is_refused(fixture: &AnchorsFixture) {
    let log = ReferenceLog::numbered(12, 1);
    fixture.anchor(&log, 0, 7).await;
    let mut rewritten = log.clone();
    rewritten.rewrite(2, b"something else");
    fixture.assert_refused(&request(&rewritten, 7, 12)).await;
    let mut disguised = request(&rewritten, 7, 12);
    disguised.previous = Some(log.checkpoint(7));
    fixture.assert_refused(&disguised).await;
    fixture.anchor(&log, 7, 12).await;
}

/// Neither the same size again nor a smaller one, nor nothing.
pub async fn a_checkpoint_must_be_larger_than_the_one_before(fixture: &AnchorsFixture) {
    let log = ReferenceLog::numbered(8, 1);
    fixture.assert_refused(&request(&log, 0, 0)).await;
    fixture.anchor(&log, 0, 6).await;
    fixture.assert_refused(&request(&log, 0, 6)).await;
    fixture.assert_refused(&request(&log, 0, 4)).await;
    let mut again = request(&log, 6, 8);
    again.next = log.checkpoint(6);
    fixture.assert_refused(&again).await;
}

/// Whoever does not know what is anchored cannot go on.
pub async fn the_previous_root_must_be_the_anchored_one(fixture: &AnchorsFixture) {
    let log = ReferenceLog::numbered(8, 1);
    fixture.assert_refused(&request(&log, 3, 8)).await;
    fixture.anchor(&log, 0, 4).await;
    fixture.assert_refused(&request(&log, 0, 8)).await;
    fixture.assert_refused(&request(&log, 3, 8)).await;
    fixture.anchor(&log, 4, 8).await;
}

/// Each hash of the proof counts, and their number.
pub async fn a_changed_proof_is_refused(fixture: &AnchorsFixture) {
    let log = ReferenceLog::numbered(23, 1);
    fixture.anchor(&log, 0, 11).await;
    let right = request(&log, 11, 23);
    for position in 0..right.consistency_proof.len() {
        let mut changed = right.clone();
        changed.consistency_proof[position].0[31] ^= 1;
        fixture.assert_refused(&changed).await;
        let mut shorter = right.clone();
        shorter.consistency_proof.remove(position);
        fixture.assert_refused(&shorter).await;
        let mut longer = right.clone();
        longer.consistency_proof.insert(position, B256::ZERO);
        fixture.assert_refused(&longer).await;
    }
    fixture.anchor(&log, 11, 23).await;
}

/// Anchors are found again, with the blocks on top of them.
pub async fn an_anchor_is_found_by_its_transaction_and_by_its_head(fixture: &AnchorsFixture) {
    let log = ReferenceLog::numbered(5, 1);
    let anchor = fixture.anchor(&log, 0, 5).await;
    let (found, before) = fixture.anchors.anchor(anchor.tx_hash).await.unwrap().unwrap();
    assert_eq!(found, anchor);
    (fixture.mine)().await;
    let (_, after) = fixture.anchors.anchor(anchor.tx_hash).await.unwrap().unwrap();
    assert!(after > before);
    assert_eq!(fixture.anchors.anchor(B256::repeat_byte(9)).await, Ok(None));

    let newest = head(5, &anchor);
    let by_head = fixture.anchors.anchor_of_head(fixture.account, &newest).await;
    assert_eq!(by_head, Ok(Some(anchor)));
    let elsewhere = AnchorHead { size: 4, ..newest };
    assert_eq!(
        fixture.anchors.anchor_of_head(fixture.account, &elsewhere).await,
        Ok(None)
    );
    assert_eq!(
        fixture
            .anchors
            .anchor_of_head(fixture.other_account, &newest)
            .await,
        Ok(None)
    );
}

/// One read of the chain decides, and everything in the receipt counts.
pub async fn a_receipt_is_proven_and_none_that_differs(fixture: &AnchorsFixture) {
    let log = ReferenceLog::numbered(13, 1);
    let anchor = fixture.anchor(&log, 0, 13).await;
    let event =
        NewEvent::data_share(DataHash::of(b"x"), fixture.other_account).into_event(fixture.account, 1);
    let receipt = Receipt {
        version: 1,
        event,
        leaf_index: 6,
        inclusion_proof: log.inclusion(6, 13),
        checkpoint: log.checkpoint(13),
        anchor,
    };
    let leaf = log.leaf(6);
    let proves = async |receipt: &Receipt, leaf| fixture.anchors.proves(receipt, leaf).await;
    assert_eq!(proves(&receipt, leaf).await, Ok(true));
    assert_eq!(proves(&receipt, log.leaf(5)).await, Ok(false));

    let changes: [fn(&mut Receipt); 9] = [
        |receipt| receipt.event.log = Address::repeat_byte(3),
        |receipt| receipt.leaf_index = 7,
        |receipt| receipt.leaf_index = u64::MAX,
        |receipt| receipt.inclusion_proof[1].0[0] ^= 1,
        |receipt| receipt.inclusion_proof.truncate(1),
        |receipt| receipt.inclusion_proof = vec![B256::ZERO; 1000],
        |receipt| receipt.checkpoint.root.0[5] ^= 1,
        |receipt| receipt.anchor.block += 1,
        |receipt| receipt.anchor.timestamp -= 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = receipt.clone();
        change(&mut changed);
        assert_eq!(proves(&changed, leaf).await, Ok(false), "change {number}");
    }

    let mut elsewhere = receipt.clone();
    elsewhere.anchor.contract = Address::repeat_byte(4);
    assert_eq!(
        proves(&elsewhere, leaf).await,
        Ok(true),
        "the contract is computed"
    );
    elsewhere.anchor.chain_id += 1;
    assert!(matches!(
        proves(&elsewhere, leaf).await,
        Err(ChainError::WrongChain { .. })
    ));
}

/// One account's checkpoints say nothing about another's.
pub async fn logs_of_two_accounts_are_apart(fixture: &AnchorsFixture) {
    let (log, other_log) = (ReferenceLog::numbered(6, 1), ReferenceLog::numbered(4, 2));
    fixture.anchor(&log, 0, 6).await;
    assert_eq!(fixture.anchors.anchor_head(fixture.other_account).await, Ok(None));
    let tx_hash = fixture
        .other
        .submit_anchor(&request(&other_log, 0, 4))
        .await
        .unwrap();
    (fixture.mine)().await;
    fixture.other.wait_for_anchor(tx_hash).await.unwrap();
    let sizes = async |account| {
        fixture
            .anchors
            .anchor_head(account)
            .await
            .unwrap()
            .map(|head| head.size)
    };
    assert_eq!(sizes(fixture.account).await, Some(6));
    assert_eq!(sizes(fixture.other_account).await, Some(4));
}
