//! What a catalog of shares promises about replicas and receipts.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{Address, event::EventKind, hash::DataHash, share::NewShare};

use super::{
    ShareLedger,
    samples::{address, checkpoint, data_hash, due, entries, event, object_id, readable, share},
};

const OWNER: Address = Address::repeat_byte(0xAA);

/// Share `n`, recorded at position `n`, and its readable object.
async fn recorded(catalog: &impl ShareLedger, n: u64) {
    catalog.commit_share(&NewShare::from(share(n, 1))).await.unwrap();
    catalog.put_readable(&readable(n, OWNER)).await.unwrap();
    catalog
        .append(&entries(n, [event(EventKind::DataShare, n, 1)]), &[])
        .await
        .unwrap();
}

async fn lacking(
    catalog: &impl ShareLedger,
    factor: u32,
    after: Option<DataHash>,
    limit: usize,
) -> Vec<DataHash> {
    let objects = catalog
        .under_replicated(OWNER, factor, after, limit)
        .await
        .unwrap();
    objects.iter().map(|object| object.data_hash).collect()
}

pub async fn the_replicas_of_an_object_are_what_was_set_last(catalog: &impl ShareLedger) {
    let id = object_id(1, OWNER);
    assert_eq!(catalog.replicas(&id).await.unwrap(), None);
    catalog.set_replicas(&id, 1, 3).await.unwrap();
    catalog.set_replicas(&id, 2, 0).await.unwrap();
    catalog
        .set_replicas(&object_id(1, address(1)), 9, 9)
        .await
        .unwrap();
    assert_eq!(catalog.replicas(&id).await.unwrap(), Some((0, 2)));
}

pub async fn own_objects_without_enough_replicas_are_listed_in_pages(catalog: &impl ShareLedger) {
    for n in 0..6 {
        catalog.put_readable(&readable(n, OWNER)).await.unwrap();
    }
    catalog.put_readable(&readable(6, address(1))).await.unwrap();
    catalog.set_replicas(&object_id(0, OWNER), 1, 3).await.unwrap();
    catalog.set_replicas(&object_id(1, OWNER), 1, 2).await.unwrap();
    catalog
        .set_replicas(&object_id(2, address(1)), 1, 3)
        .await
        .unwrap();
    catalog.set_replicas(&object_id(3, OWNER), 1, 1).await.unwrap();

    let first = lacking(catalog, 3, None, 3).await;
    assert_eq!(first, [data_hash(1), data_hash(2), data_hash(3)]);
    assert_eq!(
        lacking(catalog, 3, first.last().copied(), 3).await,
        [data_hash(4), data_hash(5)]
    );
    assert_eq!(
        lacking(catalog, 1, None, 9).await,
        [data_hash(2), data_hash(4), data_hash(5)]
    );
    assert_eq!(lacking(catalog, 0, None, 9).await, []);
}

pub async fn a_page_after_a_removed_object_is_empty(catalog: &impl ShareLedger) {
    for n in 0..3 {
        catalog.put_readable(&readable(n, OWNER)).await.unwrap();
    }
    catalog.remove_readable(&data_hash(1)).await.unwrap();
    assert_eq!(lacking(catalog, 1, Some(data_hash(1)), 9).await, []);
    assert_eq!(lacking(catalog, 1, None, 9).await, [data_hash(0), data_hash(2)]);
}

pub async fn replicas_counted_before_the_object_became_readable_count(catalog: &impl ShareLedger) {
    catalog.set_replicas(&object_id(1, OWNER), 1, 3).await.unwrap();
    catalog.put_readable(&readable(1, OWNER)).await.unwrap();
    assert_eq!(lacking(catalog, 3, None, 9).await, []);
    // The same data as another owner's object has that object's replicas.
    catalog.put_readable(&readable(1, address(1))).await.unwrap();
    assert_eq!(
        catalog.under_replicated(address(1), 1, None, 9).await.unwrap(),
        [readable(1, address(1))]
    );
    assert_eq!(lacking(catalog, 9, None, 9).await, []);
}

pub async fn a_receipt_is_due_once_anchored_and_replicated(catalog: &impl ShareLedger) {
    recorded(catalog, 0).await;
    recorded(catalog, 1).await;
    assert_eq!(due(catalog, 2, 9).await, []);
    catalog.set_replicas(&object_id(1, OWNER), 1, 1).await.unwrap();
    assert_eq!(due(catalog, 1, 9).await, []);
    assert_eq!(due(catalog, 2, 9).await, [share(1, 1)]);
    assert_eq!(due(catalog, u64::MAX, 9).await, [share(1, 1)]);
    // A share without an event has no receipt.
    catalog.commit_share(&NewShare::from(share(1, 2))).await.unwrap();
    assert_eq!(due(catalog, 9, 9).await, [share(1, 1)]);
}

pub async fn a_receipt_is_not_due_while_all_replicas_are_gone(catalog: &impl ShareLedger) {
    recorded(catalog, 0).await;
    catalog.set_replicas(&object_id(0, OWNER), 1, 2).await.unwrap();
    catalog.set_replicas(&object_id(0, OWNER), 1, 0).await.unwrap();
    assert_eq!(due(catalog, 1, 9).await, []);
    catalog.set_replicas(&object_id(0, OWNER), 1, 1).await.unwrap();
    assert_eq!(due(catalog, 1, 9).await, [share(0, 1)]);
}

pub async fn a_receipt_that_was_spread_is_not_due_again(catalog: &impl ShareLedger) {
    recorded(catalog, 0).await;
    catalog.set_replicas(&object_id(0, OWNER), 1, 1).await.unwrap();
    let locator = data_hash(0).locator();
    assert!(!catalog.is_receipt_spread(&locator, address(1)).await.unwrap());
    catalog
        .set_receipt_spread(&data_hash(0), address(1))
        .await
        .unwrap();
    assert!(catalog.is_receipt_spread(&locator, address(1)).await.unwrap());
    assert!(!catalog.is_receipt_spread(&locator, address(2)).await.unwrap());
    assert_eq!(due(catalog, 1, 9).await, []);
    catalog.set_replicas(&object_id(0, OWNER), 2, 3).await.unwrap();
    assert_eq!(due(catalog, 1, 9).await, []);
}

pub async fn a_receipt_is_due_again_when_its_anchor_moves_or_leaves(catalog: &impl ShareLedger) {
    for n in 0..3 {
        recorded(catalog, n).await;
        catalog.set_replicas(&object_id(n, OWNER), 1, 1).await.unwrap();
        catalog.put_checkpoint(&checkpoint(n + 1, false)).await.unwrap();
    }
    let spread = async || {
        for n in 0..3 {
            catalog
                .set_receipt_spread(&data_hash(n), address(1))
                .await
                .unwrap();
        }
    };
    spread().await;
    // That it has become final changes nothing for a receipt.
    catalog.put_checkpoint(&checkpoint(2, true)).await.unwrap();
    assert_eq!(due(catalog, 3, 9).await, []);
    let mut moved = checkpoint(2, false);
    moved.anchor.block += 1;
    catalog.put_checkpoint(&moved).await.unwrap();
    assert_eq!(due(catalog, 3, 9).await, [share(1, 1)]);
    spread().await;
    catalog.remove_checkpoint(3).await.unwrap();
    assert_eq!(due(catalog, 3, 9).await, [share(2, 1)]);
}

pub async fn a_share_of_an_object_with_replicas_gets_its_receipt_too(catalog: &impl ShareLedger) {
    recorded(catalog, 0).await;
    catalog.set_replicas(&object_id(0, OWNER), 1, 1).await.unwrap();
    catalog.commit_share(&NewShare::from(share(0, 2))).await.unwrap();
    catalog
        .append(&entries(1, [event(EventKind::Grant, 0, 2)]), &[])
        .await
        .unwrap();
    assert_eq!(due(catalog, 2, 9).await, [share(0, 1), share(0, 2)]);
}

pub async fn due_receipts_come_in_the_order_of_the_log(catalog: &impl ShareLedger) {
    for n in 0..3 {
        recorded(catalog, n).await;
    }
    for n in [2, 0, 1] {
        catalog.set_replicas(&object_id(n, OWNER), 1, 1).await.unwrap();
    }
    assert_eq!(due(catalog, 3, 2).await, [share(0, 1), share(1, 1)]);
}
