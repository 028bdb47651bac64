//! What a catalog of orders promises about their events in the log.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{event::EventKind, order::OrderRecord};

use super::{
    OrderLedger,
    order_samples::{operation_id, request, transfer_event},
    orders::insert,
    samples::{entries, event},
};

async fn event_index(catalog: &impl OrderLedger, n: u64) -> Option<u64> {
    catalog.order(operation_id(n)).await.unwrap().unwrap().event_index
}

pub async fn an_order_is_recorded_once_its_event_is_logged(catalog: &impl OrderLedger) {
    for n in 1..=3 {
        insert(catalog, &request(n)).await;
        assert_eq!(event_index(catalog, n).await, None);
    }
    let events = [
        event(EventKind::DataShare, 1, 1),
        transfer_event(3),
        transfer_event(1),
    ];
    catalog.append(&entries(0, events), &[]).await.unwrap();
    assert_eq!(event_index(catalog, 1).await, Some(2));
    assert_eq!(event_index(catalog, 2).await, None);
    assert_eq!(event_index(catalog, 3).await, Some(1));
    let page = catalog.open_orders(0, 9).await.unwrap();
    let indexes: Vec<_> = page.iter().map(|(_, order)| order.event_index).collect();
    assert_eq!(indexes, [Some(2), None, Some(1)]);
}

pub async fn an_event_may_come_before_its_order(catalog: &impl OrderLedger) {
    let events = [transfer_event(2), transfer_event(1), transfer_event(1)];
    catalog.append(&entries(0, events), &[]).await.unwrap();
    insert(catalog, &request(1)).await;
    assert_eq!(event_index(catalog, 1).await, Some(1));
}

pub async fn only_its_own_event_records_an_order(catalog: &impl OrderLedger) {
    insert(catalog, &request(1)).await;
    let mut of_another_kind = transfer_event(1);
    of_another_kind.event_type = EventKind::DataShare;
    let mut of_no_order = transfer_event(1);
    of_no_order.details = [("operation".into(), "0x12".into())].into();
    let mut under_another_name = transfer_event(1);
    under_another_name.details = [("refund".into(), operation_id(1).to_string())].into();
    let others = [
        of_another_kind,
        of_no_order,
        under_another_name,
        event(EventKind::Transfer, 1, 1),
        transfer_event(2),
    ];
    catalog.append(&entries(0, others), &[]).await.unwrap();
    insert(catalog, &request(3)).await;
    assert_eq!(event_index(catalog, 1).await, None);
    assert_eq!(event_index(catalog, 3).await, None);
}

pub async fn only_the_log_says_where_an_order_is_recorded(catalog: &impl OrderLedger) {
    let claimed = OrderRecord {
        event_index: Some(5),
        ..request(1)
    };
    insert(catalog, &claimed).await;
    assert_eq!(event_index(catalog, 1).await, None);
}

pub async fn the_first_event_of_an_order_counts(catalog: &impl OrderLedger) {
    insert(catalog, &request(1)).await;
    let twice = [
        event(EventKind::Transfer, 1, 1),
        transfer_event(1),
        transfer_event(1),
    ];
    catalog.append(&entries(0, twice), &[]).await.unwrap();
    catalog
        .append(&entries(3, [transfer_event(1)]), &[])
        .await
        .unwrap();
    assert_eq!(event_index(catalog, 1).await, Some(1));
}
