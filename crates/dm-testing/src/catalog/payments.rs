//! What a catalog of orders promises about payments for shares.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    B256,
    order::{OrderRecord, OrderState},
    share::NewShare,
};

use super::{
    OrderLedger,
    order_samples::{completed, ended, every_state, failed, operation_id, payment, refund, request, tries},
    orders::insert,
    samples::{address, data_hash, share},
};

/// The payment for a share of data 1 with recipient 1.
async fn found(catalog: &impl OrderLedger) -> Option<OrderRecord> {
    catalog.payment_for(&data_hash(1), address(1)).await.unwrap()
}

async fn undelivered(catalog: &impl OrderLedger) -> Vec<OrderRecord> {
    undelivered_before(catalog, u64::MAX, 99).await
}

async fn undelivered_before(catalog: &impl OrderLedger, before: u64, limit: usize) -> Vec<OrderRecord> {
    let page = catalog.undelivered_payments(before, None, limit).await.unwrap();
    page.into_iter().map(|(_, payment)| payment).collect()
}

pub async fn a_payment_is_found_by_its_share(catalog: &impl OrderLedger) {
    assert_eq!(found(catalog).await, None);
    for other in [request(1), payment(2, 2, 1), payment(3, 1, 2), refund(4, 2)] {
        insert(catalog, &other).await;
    }
    assert_eq!(found(catalog).await, None);
    insert(catalog, &payment(5, 1, 1)).await;
    assert_eq!(found(catalog).await, Some(payment(5, 1, 1)));
    // Its share and its end leave it what it is.
    catalog.commit_share(&NewShare::from(share(1, 1))).await.unwrap();
    catalog.close_order(operation_id(5)).await.unwrap();
    assert_eq!(found(catalog).await, Some(payment(5, 1, 1)));
}

pub async fn the_newest_payment_for_a_share_counts(catalog: &impl OrderLedger) {
    for n in [3, 1, 2] {
        insert(catalog, &payment(n, 1, 1)).await;
    }
    assert_eq!(found(catalog).await, Some(payment(2, 1, 1)), "the last to arrive");
}

pub async fn a_payment_that_failed_is_none(catalog: &impl OrderLedger) {
    let tx_hash = B256::repeat_byte(1);
    insert(catalog, &payment(1, 1, 1)).await;
    insert(catalog, &payment(2, 1, 1)).await;
    for state in [
        OrderState::Accepted,
        OrderState::Sent { tx_hash },
        completed(None),
    ] {
        catalog.set_order_state(operation_id(2), &state).await.unwrap();
        assert_eq!(found(catalog).await.unwrap().id, operation_id(2), "{state:?}");
    }
    for (n, left) in [(2, Some(operation_id(1))), (1, None)] {
        catalog
            .set_order_state(operation_id(n), &failed(Some(tx_hash)))
            .await
            .unwrap();
        assert_eq!(found(catalog).await.map(|order| order.id), left);
    }
}

pub async fn a_payment_whose_refund_is_under_way_or_made_is_none(catalog: &impl OrderLedger) {
    insert(catalog, &payment(1, 1, 1)).await;
    insert(catalog, &payment(2, 1, 1)).await;
    insert(catalog, &refund(3, 2)).await;
    let tx_hash = B256::repeat_byte(1);
    for (state, counts) in [
        (OrderState::Accepted, true),
        (OrderState::Sent { tx_hash }, false),
        (OrderState::CalledOff, true),
        (completed(None), false),
        (ended(), false),
        (failed(None), false),
    ] {
        catalog.set_order_state(operation_id(3), &state).await.unwrap();
        let newest = if counts { 2 } else { 1 };
        assert_eq!(found(catalog).await, Some(payment(newest, 1, 1)), "{state:?}");
    }
    insert(catalog, &refund(4, 1)).await;
    catalog
        .set_order_state(operation_id(4), &completed(None))
        .await
        .unwrap();
    assert_eq!(found(catalog).await, None);
}

pub async fn a_completed_payment_without_its_share_is_undelivered(catalog: &impl OrderLedger) {
    let accepted = OrderRecord {
        state: OrderState::Accepted,
        ..payment(1, 1, 1)
    };
    insert(catalog, &accepted).await;
    let request = OrderRecord {
        state: completed(None),
        ..request(2)
    };
    insert(catalog, &request).await;
    catalog.commit_share(&NewShare::from(share(1, 2))).await.unwrap();
    catalog.commit_share(&NewShare::from(share(2, 1))).await.unwrap();
    let tx_hash = B256::repeat_byte(1);
    let states = [
        OrderState::Accepted,
        OrderState::Sent { tx_hash },
        failed(None),
        failed(Some(tx_hash)),
    ];
    for state in states {
        catalog.set_order_state(operation_id(1), &state).await.unwrap();
        assert_eq!(undelivered(catalog).await, [], "{state:?}");
    }
    catalog
        .set_order_state(operation_id(1), &completed(None))
        .await
        .unwrap();
    assert_eq!(undelivered(catalog).await, [payment(1, 1, 1)]);
    // Whether it is closed is another matter.
    catalog.close_order(operation_id(1)).await.unwrap();
    assert_eq!(undelivered(catalog).await, [payment(1, 1, 1)]);
}

pub async fn a_payment_is_delivered_once_its_share_exists(catalog: &impl OrderLedger) {
    for n in 1..=3 {
        insert(catalog, &payment(n, n, 1)).await;
    }
    insert(catalog, &payment(4, 1, 1)).await;
    catalog.commit_share(&NewShare::from(share(1, 1))).await.unwrap();
    assert_eq!(undelivered(catalog).await, [payment(2, 2, 1), payment(3, 3, 1)]);
    // Many at once, some of which are there already.
    let shares: Vec<_> = (0..20).map(|n| share(n % 3, 1)).collect();
    let shares: Vec<NewShare> = shares.into_iter().map(NewShare::from).collect();
    let inserts = shares.iter().map(|share| catalog.commit_share(share));
    for result in futures::future::join_all(inserts).await {
        result.unwrap();
    }
    assert_eq!(undelivered(catalog).await, [payment(3, 3, 1)]);
}

pub async fn a_payment_may_come_after_its_share(catalog: &impl OrderLedger) {
    catalog.commit_share(&NewShare::from(share(1, 1))).await.unwrap();
    insert(catalog, &payment(1, 1, 1)).await;
    assert_eq!(undelivered(catalog).await, []);
    assert_eq!(found(catalog).await, Some(payment(1, 1, 1)));
}

pub async fn a_payment_is_undelivered_until_a_refund_stands(catalog: &impl OrderLedger) {
    insert(catalog, &payment(1, 1, 1)).await;
    insert(catalog, &payment(2, 1, 1)).await;
    insert(catalog, &refund(3, 1)).await;
    assert_eq!(undelivered(catalog).await, [payment(2, 1, 1)]);
    for state in every_state() {
        let stands = state != OrderState::CalledOff;
        let left: &[u64] = if stands { &[2] } else { &[1, 2] };
        let left: Vec<OrderRecord> = left.iter().map(|n| payment(*n, 1, 1)).collect();
        catalog.set_order_state(operation_id(3), &state).await.unwrap();
        assert_eq!(undelivered(catalog).await, left, "{state:?}");
        catalog
            .set_order_tries(operation_id(3), &state, &tries(1))
            .await
            .unwrap();
        assert_eq!(undelivered(catalog).await, left, "{state:?}");
    }
}

pub async fn a_refund_that_was_called_off_and_a_share_leave_nothing_owed(catalog: &impl OrderLedger) {
    for n in [1, 2] {
        insert(catalog, &payment(n, n, 1)).await;
        insert(catalog, &refund(n + 2, n)).await;
    }
    let call_off = async |n| {
        let state = OrderState::CalledOff;
        catalog.set_order_state(operation_id(n), &state).await.unwrap();
    };
    // Whichever of the two comes last.
    catalog.commit_share(&NewShare::from(share(1, 1))).await.unwrap();
    call_off(3).await;
    call_off(4).await;
    assert_eq!(undelivered(catalog).await, [payment(2, 2, 1)]);
    catalog.commit_share(&NewShare::from(share(2, 1))).await.unwrap();
    assert_eq!(undelivered(catalog).await, []);
}

pub async fn a_refund_may_come_before_its_payment(catalog: &impl OrderLedger) {
    let orders = [refund(2, 1), payment(1, 1, 1)];
    let inserts = orders.iter().map(|order| catalog.insert_order(order));
    for result in futures::future::join_all(inserts).await {
        result.unwrap();
    }
    assert_eq!(undelivered(catalog).await, []);
}

pub async fn undelivered_payments_come_oldest_first(catalog: &impl OrderLedger) {
    for n in [3, 1, 4, 2] {
        insert(catalog, &payment(n, n, 1)).await;
    }
    let expected = [payment(1, 1, 1), payment(2, 2, 1), payment(3, 3, 1)];
    let before = payment(4, 4, 1).created_at;
    assert_eq!(undelivered_before(catalog, before, 9).await, expected);
    assert_eq!(undelivered_before(catalog, before, 2).await, expected[..2]);
    assert_eq!(undelivered_before(catalog, 0, 9).await, []);
    let first = catalog.undelivered_payments(before, None, 1).await.unwrap();
    let (number, payment) = &first[0];
    let rest = catalog
        .undelivered_payments(before, Some((payment.created_at, *number)), 9)
        .await
        .unwrap();
    let rest: Vec<OrderRecord> = rest.into_iter().map(|(_, payment)| payment).collect();
    assert_eq!(rest, expected[1..]);
}
