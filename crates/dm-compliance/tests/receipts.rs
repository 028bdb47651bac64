//! Receipts: every one holds, no altered one does, and none can do harm.

use std::{collections::BTreeMap, sync::OnceLock};

use dm_compliance::{ReceiptFlaw, verify_offline};
use dm_core::{
    Address, B256,
    event::{Event, EventKind},
    hash::DataHash,
    ports::{Anchors, ComplianceLog, EventFilter, HistoryQuery},
    receipt::{Anchor, Checkpoint, Receipt},
};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::support::{Life, chain::SimulatedChain, events::MemoryEvents};

#[tokio::test(start_paused = true)]
async fn receipts_of_every_event_are_valid_at_every_size_that_was_anchored() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let mut early = Vec::new();
    for n in 0..60u8 {
        let index = life.record(n).await;
        if n % 3 == 0 {
            life.anchor_of(index).await;
            early.push(life.manager.receipt(index).await.unwrap().unwrap());
        }
    }
    life.anchor_of(59).await;
    for index in 0..60 {
        assert!(life.has_valid_receipt(index).await, "event {index}");
    }
    for receipt in early {
        assert!(life.manager.verify(&receipt).await.unwrap().is_valid());
        let now = life.manager.receipt(receipt.leaf_index).await.unwrap();
        assert_eq!(now, Some(receipt), "a receipt stays what it was");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_the_history_costs_one_look_up_whatever_anchored_its_lines() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    for n in 0..20u8 {
        let index = life.record(n).await;
        life.anchor_of(index).await;
    }
    let before = events.lookups();
    let query = HistoryQuery {
        filter: EventFilter::default(),
        before: None,
        limit: 20,
    };
    let page = life.manager.history(&query).await.unwrap();
    assert_eq!(events.lookups() - before, 1);
    assert_eq!(page.entries.len(), 20);
    for line in &page.entries {
        let receipt = life.manager.receipt(line.index).await.unwrap().unwrap();
        assert_eq!(line.tx_hash, Some(receipt.anchor.tx_hash));
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_judged_without_the_log_that_made_it() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let index = life.record(0).await;
    life.anchor_of(index).await;
    let receipt = life.manager.receipt(index).await.unwrap().unwrap();
    life.kill();

    let text = serde_json::to_string(&receipt).unwrap();
    let receipt: Receipt = serde_json::from_str(&text).unwrap();
    let leaf_hash = verify_offline(&receipt).unwrap();
    assert!(chain.endpoint().proves(&receipt, leaf_hash).await.unwrap());
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The receipt of event 5 of 11, and its chain.
fn example() -> &'static (Receipt, SimulatedChain) {
    static EXAMPLE: OnceLock<(Receipt, SimulatedChain)> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        runtime().block_on(async {
            let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
            chain.set_away(true);
            let life = Life::start(&events, &chain).await;
            for n in 0..11 {
                life.record(n).await;
            }
            chain.set_away(false);
            life.anchor_of(5).await;
            (life.manager.receipt(5).await.unwrap().unwrap(), chain)
        })
    })
}

fn is_valid(receipt: &Receipt) -> bool {
    let Ok(leaf_hash) = verify_offline(receipt) else {
        return false;
    };
    let chain = example().1.endpoint();
    runtime()
        .block_on(chain.proves(receipt, leaf_hash))
        .unwrap_or(false)
}

#[test]
fn the_example_is_valid_and_its_flaws_are_named() {
    let (receipt, _) = example();
    assert!(is_valid(receipt));
    let flaw_of = |alter: fn(&mut Receipt)| {
        let mut altered = receipt.clone();
        alter(&mut altered);
        verify_offline(&altered).unwrap_err()
    };
    assert_eq!(
        flaw_of(|receipt| receipt.version = 0),
        ReceiptFlaw::ReceiptVersion(0)
    );
    assert_eq!(
        flaw_of(|receipt| receipt.event.version = 9),
        ReceiptFlaw::EventVersion(9)
    );
    assert_eq!(
        flaw_of(|receipt| receipt.event.log = Address::ZERO),
        ReceiptFlaw::NoLog
    );
    assert_eq!(
        flaw_of(|receipt| receipt.inclusion_proof.clear()),
        ReceiptFlaw::NotIncluded
    );
    let outside = ReceiptFlaw::OutsideCheckpoint { index: 11, size: 11 };
    assert_eq!(flaw_of(|receipt| receipt.leaf_index = 11), outside);
    let impossible = ReceiptFlaw::ImpossibleSize(u64::MAX);
    assert_eq!(flaw_of(|receipt| receipt.checkpoint.size = u64::MAX), impossible);
}

/// One changed field of the example. The transaction's hash is missing: it
/// says where to look, and proves nothing.
fn altered() -> impl Strategy<Value = Receipt> {
    let number = || any::<u64>();
    let hash = || any::<[u8; 32]>().prop_map(B256::new);
    let text = || "[a-z]{1,8}";
    (0..18u8, number(), hash(), text()).prop_map(|(field, number, hash, text)| {
        let mut receipt = example().0.clone();
        let event = &mut receipt.event;
        match field {
            0 => receipt.version = number as u8,
            1 => event.version = number as u8,
            2 => event.event_type = EventKind::ALL[1 + number as usize % 6],
            3 => event.log = Address::from_slice(&hash[..20]),
            4 => event.data_hash = Some(DataHash::from_bytes(hash.0)),
            5 => event.data_hash = None,
            6 => event.recipient = Some(Address::from_slice(&hash[..20])),
            7 => event.timestamp = number,
            8 => event.nonce.copy_from_slice(&hash[..16]),
            9 => _ = event.details.insert(text, String::new()),
            10 => receipt.leaf_index = number,
            11 => receipt.inclusion_proof[number as usize % 4] = hash,
            12 => receipt.inclusion_proof.insert(number as usize % 5, hash),
            13 => _ = receipt.inclusion_proof.remove(number as usize % 4),
            14 => receipt.checkpoint.size = number,
            15 => receipt.checkpoint.root = hash,
            16 => receipt.anchor.block = number,
            _ => receipt.anchor.timestamp = number,
        }
        receipt
    })
}

/// A receipt by somebody who means harm.
fn hostile() -> impl Strategy<Value = Receipt> {
    let edge = || {
        prop_oneof![
            any::<u64>(),
            0..4u64,
            Just(u64::MAX),
            Just(u64::MAX / 2),
            Just(u64::MAX / 2 + 1),
            Just(1 << 62),
        ]
    };
    let proof = proptest::collection::vec(any::<[u8; 32]>().prop_map(B256::new), 0..200);
    (edge(), edge(), proof, edge(), 0..3u8).prop_map(|(index, size, inclusion_proof, timestamp, version)| {
        Receipt {
            version: 1,
            event: Event {
                version,
                event_type: EventKind::DataShare,
                log: Address::repeat_byte(1),
                data_hash: None,
                recipient: None,
                timestamp,
                nonce: [0; 16],
                details: BTreeMap::from([("\u{0}\"\\".to_owned(), "\u{10FFFF}".to_owned())]),
                mandate: None,
            },
            leaf_index: index,
            inclusion_proof,
            checkpoint: Checkpoint {
                size,
                root: B256::ZERO,
            },
            anchor: Anchor {
                chain_id: u64::MAX,
                contract: Address::ZERO,
                tx_hash: B256::ZERO,
                block: u64::MAX,
                timestamp: u64::MAX,
            },
        }
    })
}

proptest! {
    #[test]
    fn a_receipt_with_any_field_altered_is_not_valid(receipt in altered()) {
        prop_assume!(receipt != example().0);
        prop_assert!(!is_valid(&receipt));
    }

    #[test]
    fn hostile_receipts_are_turned_away_without_harm(receipt in hostile()) {
        prop_assert!(verify_offline(&receipt).is_err());
    }
}
