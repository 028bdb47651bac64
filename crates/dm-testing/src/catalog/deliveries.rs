//! What [`DeliveryCatalog`](dm_core::ports::DeliveryCatalog) promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    Address,
    acknowledgement::{Acknowledgement, Delivery},
    event::NewEvent,
    inbox::{InboxItem, ItemState},
    journal::Topics,
    ports::{ErasureCause, LogEntry, Signer},
    signed::Signed,
};
use serde_json::json;

use super::{
    DeliveryLedger,
    samples::{address, data_hash, object_id},
};
use crate::signer::TestSigner;

/// Makes a test of each promise of [`DeliveryCatalog`](dm_core::ports::DeliveryCatalog).
#[macro_export]
macro_rules! delivery_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, deliveries:
            a_delivery_is_kept_as_it_was_given_and_the_first_one_stays,
            a_recorded_delivery_makes_way_for_one_of_a_later_envelope,
            the_deliveries_of_an_object_are_those_of_its_owner,
            a_delivery_waits_until_its_event_is_in_the_log,
            unrecorded_deliveries_come_in_pages,
            what_this_node_acknowledges_is_acknowledged_in_its_inbox,
            a_delivery_is_news_once,
            a_delivery_outlasts_its_share,
        }
    };
}

/// That account number `recipient` has data number `n` of owner number `owner`.
pub fn delivery(n: u64, owner: u8, recipient: u8) -> Delivery {
    let signer = TestSigner::new(recipient);
    let statement = Acknowledgement {
        recipient: signer.address(),
        object: object_id(n, address(owner)),
        commitment: Acknowledgement::commitment_to(&data_hash(n), signer.address()),
        sequence: 1,
        fetched_at: 1_700_000_000_000 + n,
        made_at: 1_700_000_000_100 + n,
    };
    Delivery {
        data_hash: data_hash(n),
        statement: Signed::sign(statement, &signer).unwrap(),
        leaf_index: None,
    }
}

fn recorded(delivery: &Delivery, index: u64) -> Delivery {
    Delivery {
        leaf_index: Some(index),
        ..delivery.clone()
    }
}

fn delivery_event(delivery: &Delivery) -> (NewEvent, Address) {
    let event = NewEvent::delivery(delivery.data_hash, &delivery.statement);
    (event, delivery.statement.object.owner)
}

async fn record(catalog: &impl DeliveryLedger, (event, log): (NewEvent, Address)) -> u64 {
    let index = catalog.event_count().await.unwrap();
    let event = event.into_event(log, 1_700_000_000_200);
    catalog
        .append(
            &[LogEntry {
                index,
                event,
                trace: None,
            }],
            &[],
        )
        .await
        .unwrap();
    index
}

async fn get(catalog: &impl DeliveryLedger, of: &Delivery) -> Option<Delivery> {
    let found = catalog.delivery(&of.statement.object, of.statement.recipient);
    found.await.unwrap()
}

pub async fn a_delivery_is_kept_as_it_was_given_and_the_first_one_stays(catalog: &impl DeliveryLedger) {
    let first = delivery(1, 1, 2);
    assert_eq!(get(catalog, &first).await, None);
    assert_eq!(catalog.keep_delivery(&first).await.unwrap(), first);
    let later = of_envelope(&first, 7);
    assert_eq!(catalog.keep_delivery(&later).await.unwrap(), first);
    assert_eq!(get(catalog, &first).await, Some(first));
}

/// The same by account number 2, of another envelope.
fn of_envelope(delivery: &Delivery, sequence: u64) -> Delivery {
    let statement = Acknowledgement {
        sequence,
        ..delivery.statement.statement().clone()
    };
    Delivery {
        statement: Signed::sign(statement, &TestSigner::new(2)).unwrap(),
        ..delivery.clone()
    }
}

pub async fn a_recorded_delivery_makes_way_for_one_of_a_later_envelope(catalog: &impl DeliveryLedger) {
    let first = of_envelope(&delivery(1, 1, 2), 5);
    catalog.keep_delivery(&first).await.unwrap();
    let index = record(catalog, delivery_event(&first)).await;
    for sequence in [1, 5] {
        let other = of_envelope(&first, sequence);
        assert_eq!(
            catalog.keep_delivery(&other).await.unwrap(),
            recorded(&first, index)
        );
    }
    let later = of_envelope(&first, 6);
    assert_eq!(catalog.keep_delivery(&later).await.unwrap(), later);
    let waiting = catalog.unrecorded_deliveries(0, 9).await.unwrap();
    let waiting: Vec<_> = waiting.into_iter().map(|(_, delivery)| delivery).collect();
    assert_eq!(waiting, std::slice::from_ref(&later));
    // The event of the earlier one says nothing of it.
    record(catalog, delivery_event(&first)).await;
    assert_eq!(get(catalog, &later).await, Some(later.clone()));
    let index = record(catalog, delivery_event(&later)).await;
    assert_eq!(get(catalog, &later).await, Some(recorded(&later, index)));
    let all = catalog.deliveries(&later.statement.object).await.unwrap();
    assert_eq!(all, [recorded(&later, index)]);
}

pub async fn the_deliveries_of_an_object_are_those_of_its_owner(catalog: &impl DeliveryLedger) {
    let mut of_object = vec![delivery(1, 1, 2), delivery(1, 1, 3), delivery(1, 1, 4)];
    for kept in of_object.iter().chain([&delivery(2, 1, 2), &delivery(1, 9, 2)]) {
        catalog.keep_delivery(kept).await.unwrap();
    }
    of_object.sort_unstable_by_key(|delivery| delivery.statement.recipient);
    let found = catalog.deliveries(&object_id(1, address(1))).await.unwrap();
    assert_eq!(found, of_object);
    assert_eq!(catalog.deliveries(&object_id(3, address(1))).await.unwrap(), []);
}

pub async fn a_delivery_waits_until_its_event_is_in_the_log(catalog: &impl DeliveryLedger) {
    let (first, second) = (delivery(1, 1, 2), delivery(1, 1, 3));
    for kept in [&first, &second] {
        catalog.keep_delivery(kept).await.unwrap();
    }
    let index = record(catalog, delivery_event(&first)).await;
    record(catalog, delivery_event(&first)).await;
    assert_eq!(get(catalog, &first).await, Some(recorded(&first, index)));
    assert_eq!(
        catalog.keep_delivery(&first).await.unwrap(),
        recorded(&first, index)
    );
    let waiting = catalog.unrecorded_deliveries(0, 9).await.unwrap();
    let waiting: Vec<_> = waiting.into_iter().map(|(_, delivery)| delivery).collect();
    assert_eq!(waiting, [second]);
}

pub async fn unrecorded_deliveries_come_in_pages(catalog: &impl DeliveryLedger) {
    let kept: Vec<Delivery> = (1..=5).map(|n| delivery(n, 1, 2)).collect();
    for kept in &kept {
        catalog.keep_delivery(kept).await.unwrap();
    }
    record(catalog, delivery_event(&kept[1])).await;
    let (mut after, mut pages) = (0, Vec::new());
    loop {
        let page = catalog.unrecorded_deliveries(after, 3).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = *last;
        pages.push(page.into_iter().map(|(_, kept)| kept).collect::<Vec<_>>());
    }
    let expected = [&kept[..1], &kept[2..]].concat();
    assert_eq!(pages, [&expected[..3], &expected[3..]]);
}

pub async fn what_this_node_acknowledges_is_acknowledged_in_its_inbox(catalog: &impl DeliveryLedger) {
    let own = delivery(1, 1, 2);
    let item = InboxItem {
        data_hash: own.data_hash,
        owner: own.statement.object.owner,
        size: 1,
        descriptor: vec![1].into(),
        sequence: 1,
        shared_at: 1,
        received_at: 1,
        expires_at: None,
        state: ItemState::New,
        fetched_at: None,
        anchored: false,
    };
    catalog.list_item(&item, &[]).await.unwrap();
    catalog.keep_delivery(&own).await.unwrap();
    // That somebody else has it does not concern the inbox.
    record(catalog, delivery_event(&delivery(1, 1, 3))).await;
    let listed = catalog.inbox_item(&item.id()).await.unwrap().unwrap();
    assert_eq!(listed.state, ItemState::New);
    let event = NewEvent::acknowledgement(own.data_hash, &own.statement);
    let index = record(catalog, (event, own.statement.recipient)).await;
    let listed = catalog.inbox_item(&item.id()).await.unwrap().unwrap();
    assert_eq!(listed.state, ItemState::Acknowledged);
    assert_eq!(listed.fetched_at, Some(own.statement.fetched_at));
    assert_eq!(get(catalog, &own).await, Some(recorded(&own, index)));
}

pub async fn a_delivery_is_news_once(catalog: &impl DeliveryLedger) {
    let delivered = delivery(1, 1, 2);
    catalog.keep_delivery(&delivered).await.unwrap();
    let index = record(catalog, delivery_event(&delivered)).await;
    let topics = Topics::new(["data.acknowledged"]).unwrap();
    let page = catalog.journal_page(&topics, 0, 9).await.unwrap();
    let [news] = &page.events[..] else {
        panic!("{:?}", page.events);
    };
    assert_eq!(news.subject, Some(data_hash(1)));
    assert_eq!(
        news.data,
        json!({
            "data_hash": data_hash(1), "owner": address(1).to_string(),
            "recipient": TestSigner::new(2).address().to_string(),
            "fetched_at": delivered.statement.fetched_at, "acknowledged_at": delivered.statement.made_at,
            "receipt": index,
        })
    );
}

pub async fn a_delivery_outlasts_its_share(catalog: &impl DeliveryLedger) {
    let delivered = delivery(1, 1, 2);
    catalog.keep_delivery(&delivered).await.unwrap();
    let index = record(catalog, delivery_event(&delivered)).await;
    let recipient = delivered.statement.recipient;
    catalog.begin_revocation(&data_hash(1), recipient).await.unwrap();
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    assert_eq!(get(catalog, &delivered).await, Some(recorded(&delivered, index)));
}
