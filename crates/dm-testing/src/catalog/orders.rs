//! What a catalog of orders promises; what it promises about payments and
//! about events is in [`super::payments`] and [`super::recorded_orders`].

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    idempotency::IdempotencyKey,
    order::{OrderRecord, OrderState},
    ports::{NumberedOrder, OrderInsert},
};

use super::{
    OrderLedger,
    order_samples::{
        completed, every_order, every_state, failed, keyed_order, operation_id, payment, refund, request,
        tries,
    },
};

/// Makes a test of each promise of [`OrderCatalog`](dm_core::ports::OrderCatalog).
#[macro_export]
macro_rules! order_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, orders:
            an_order_is_kept_as_it_was_given,
            an_order_is_kept_once,
            an_idempotency_key_finds_its_order,
            an_idempotency_key_is_good_for_one_order,
            an_id_says_more_than_a_key,
            the_keys_of_two_clients_never_meet_in_orders,
            equal_orders_at_the_same_time_are_kept_once,
            many_orders_at_the_same_time_are_all_kept,
            states_replace_each_other,
            many_states_at_the_same_time_are_all_kept,
            a_closed_order_is_not_open,
            attempts_are_kept_with_their_state_and_open_the_order,
            open_orders_are_paged_oldest_first,
            orders_are_paged_newest_first,
        }
        $crate::conformance_tests! { $empty, recorded_orders:
            an_order_is_recorded_once_its_event_is_logged,
            an_event_may_come_before_its_order,
            only_its_own_event_records_an_order,
            only_the_log_says_where_an_order_is_recorded,
            the_first_event_of_an_order_counts,
        }
        $crate::conformance_tests! { $empty, payments:
            a_payment_is_found_by_its_share,
            the_newest_payment_for_a_share_counts,
            a_payment_that_failed_is_none,
            a_payment_whose_refund_is_under_way_or_made_is_none,
            a_completed_payment_without_its_share_is_undelivered,
            a_payment_is_delivered_once_its_share_exists,
            a_payment_may_come_after_its_share,
            a_payment_is_undelivered_until_a_refund_stands,
            a_refund_that_was_called_off_and_a_share_leave_nothing_owed,
            a_refund_may_come_before_its_payment,
            undelivered_payments_come_oldest_first,
        }
    };
}

pub(super) async fn insert(catalog: &impl OrderLedger, order: &OrderRecord) {
    assert_eq!(catalog.insert_order(order).await.unwrap(), OrderInsert::Inserted);
}

/// The numbers of the samples that these orders are.
fn samples(orders: &[NumberedOrder]) -> Vec<u64> {
    let known = |id| (0..100).find(|n| operation_id(*n) == id).unwrap();
    orders.iter().map(|(_, order)| known(order.id)).collect()
}

pub async fn an_order_is_kept_as_it_was_given(catalog: &impl OrderLedger) {
    let orders = every_order()
        .into_iter()
        .map(|order| (order, OrderState::Accepted));
    let states = every_state().into_iter().map(|state| (request(0).order, state));
    for (n, (order, state)) in (0..).zip(orders.chain(states)) {
        let purposes = [request(3 * n), payment(3 * n + 1, n, 1), refund(3 * n + 2, 1)];
        for purpose in purposes {
            let kept = OrderRecord {
                order: order.clone(),
                state: state.clone(),
                tries: tries(n as u32),
                ..keyed_order(purpose.clone(), "client", &format!("key ☕ {}", purpose.id))
            };
            insert(catalog, &kept).await;
            assert_eq!(catalog.order(kept.id).await.unwrap(), Some(kept));
        }
    }
    assert_eq!(catalog.order(operation_id(99)).await.unwrap(), None);
}

pub async fn an_order_is_kept_once(catalog: &impl OrderLedger) {
    let first = request(1);
    insert(catalog, &first).await;
    let again = OrderRecord {
        created_at: first.created_at + 5,
        ..keyed_order(payment(1, 1, 1), "client", "key")
    };
    let kept = OrderInsert::Exists(Box::new(first.clone()));
    assert_eq!(catalog.insert_order(&again).await.unwrap(), kept);
    assert_eq!(catalog.order(first.id).await.unwrap(), Some(first));
}

pub async fn an_idempotency_key_finds_its_order(catalog: &impl OrderLedger) {
    insert(catalog, &request(1)).await;
    let kept = keyed_order(request(2), "client", "key");
    insert(catalog, &kept).await;
    let key = kept.idempotency_key.clone().unwrap();
    assert_eq!(catalog.order_by_key(&key).await.unwrap(), Some(kept));
    let unknown = IdempotencyKey {
        key: "other".into(),
        ..key
    };
    assert_eq!(catalog.order_by_key(&unknown).await.unwrap(), None);
}

pub async fn an_idempotency_key_is_good_for_one_order(catalog: &impl OrderLedger) {
    let first = keyed_order(request(1), "client", "key");
    insert(catalog, &first).await;
    catalog.set_order_state(first.id, &completed(None)).await.unwrap();
    let kept = OrderRecord {
        state: completed(None),
        ..first
    };
    let other = keyed_order(request(2), "client", "key");
    assert_eq!(
        catalog.insert_order(&other).await.unwrap(),
        OrderInsert::Exists(Box::new(kept))
    );
    assert_eq!(catalog.order(other.id).await.unwrap(), None);
}

pub async fn an_id_says_more_than_a_key(catalog: &impl OrderLedger) {
    insert(catalog, &request(1)).await;
    insert(catalog, &keyed_order(request(2), "client", "key")).await;
    assert_eq!(
        catalog
            .insert_order(&keyed_order(request(1), "client", "key"))
            .await
            .unwrap(),
        OrderInsert::Exists(Box::new(request(1)))
    );
}

pub async fn the_keys_of_two_clients_never_meet_in_orders(catalog: &impl OrderLedger) {
    insert(catalog, &keyed_order(request(1), "one", "key")).await;
    insert(catalog, &keyed_order(request(2), "two", "key")).await;
    let key = keyed_order(request(2), "two", "key").idempotency_key.unwrap();
    let found = catalog.order_by_key(&key).await.unwrap().unwrap();
    assert_eq!(found.id, operation_id(2));
}

pub async fn equal_orders_at_the_same_time_are_kept_once(catalog: &impl OrderLedger) {
    let wanted: Vec<OrderRecord> = (0..50)
        .map(|n| keyed_order(request(n % 10), "client", "key"))
        .collect();
    let attempts = wanted.iter().map(|order| catalog.insert_order(order));
    let results = futures::future::join_all(attempts).await;
    let inserted = results
        .iter()
        .filter(|result| *result.as_ref().unwrap() == OrderInsert::Inserted);
    assert_eq!(inserted.count(), 1);
    assert_eq!(catalog.orders(None, 99).await.unwrap().len(), 1);
}

pub async fn many_orders_at_the_same_time_are_all_kept(catalog: &impl OrderLedger) {
    let wanted: Vec<OrderRecord> = (0..100).map(request).collect();
    let attempts = wanted.iter().map(|order| catalog.insert_order(order));
    for result in futures::future::join_all(attempts).await {
        assert_eq!(result.unwrap(), OrderInsert::Inserted);
    }
    let mut kept = samples(&catalog.orders(None, 200).await.unwrap());
    kept.sort_unstable();
    assert_eq!(kept, (0..100).collect::<Vec<u64>>());
}

pub async fn states_replace_each_other(catalog: &impl OrderLedger) {
    insert(catalog, &request(1)).await;
    insert(catalog, &request(2)).await;
    for state in every_state().into_iter().chain(every_state()) {
        catalog.set_order_state(operation_id(1), &state).await.unwrap();
        let kept = catalog.order(operation_id(1)).await.unwrap();
        assert_eq!(kept, Some(OrderRecord { state, ..request(1) }));
    }
    assert_eq!(catalog.order(operation_id(2)).await.unwrap(), Some(request(2)));
    // An order that does not exist has no state.
    catalog
        .set_order_state(operation_id(9), &completed(None))
        .await
        .unwrap();
    assert_eq!(catalog.order(operation_id(9)).await.unwrap(), None);
}

pub async fn many_states_at_the_same_time_are_all_kept(catalog: &impl OrderLedger) {
    let states = every_state();
    for n in 0..100 {
        insert(catalog, &request(n)).await;
    }
    let state_of = |n: u64| &states[n as usize % states.len()];
    let changes = (0..100).map(|n| catalog.set_order_state(operation_id(n), state_of(n)));
    for result in futures::future::join_all(changes).await {
        result.unwrap();
    }
    for n in 0..100 {
        let kept = catalog.order(operation_id(n)).await.unwrap().unwrap();
        assert_eq!(kept.state, *state_of(n));
    }
}

pub async fn a_closed_order_is_not_open(catalog: &impl OrderLedger) {
    for n in 1..=3 {
        insert(catalog, &request(n)).await;
    }
    let closing = [2, 2, 9].map(|n| catalog.close_order(operation_id(n)));
    for result in futures::future::join_all(closing).await {
        result.unwrap();
    }
    assert_eq!(samples(&catalog.open_orders(0, 9).await.unwrap()), [1, 3]);
    // Only closing it closes an order.
    for state in [completed(None), failed(None)] {
        catalog.set_order_state(operation_id(1), &state).await.unwrap();
        assert_eq!(samples(&catalog.open_orders(0, 9).await.unwrap()), [1, 3]);
    }
    assert_eq!(samples(&catalog.orders(None, 9).await.unwrap()), [3, 2, 1]);
    assert_eq!(catalog.order(operation_id(2)).await.unwrap(), Some(request(2)));
}

pub async fn attempts_are_kept_with_their_state_and_open_the_order(catalog: &impl OrderLedger) {
    for n in 1..=2 {
        insert(catalog, &refund(n, 9)).await;
        catalog.close_order(operation_id(n)).await.unwrap();
    }
    for (n, state) in (0..).zip(every_state()) {
        catalog
            .set_order_tries(operation_id(1), &state, &tries(n))
            .await
            .unwrap();
        let expected = OrderRecord {
            state,
            tries: tries(n),
            ..refund(1, 9)
        };
        assert_eq!(
            catalog.order(operation_id(1)).await.unwrap(),
            Some(expected.clone())
        );
        let open = catalog.open_orders(0, 9).await.unwrap();
        assert_eq!(
            open.iter().map(|(_, order)| order).collect::<Vec<_>>(),
            [&expected]
        );
        catalog.close_order(operation_id(1)).await.unwrap();
        assert_eq!(catalog.open_orders(0, 9).await.unwrap(), []);
    }
    // A state alone leaves the attempts what they are.
    let kept = catalog.order(operation_id(1)).await.unwrap().unwrap();
    catalog
        .set_order_state(operation_id(1), &completed(None))
        .await
        .unwrap();
    let expected = OrderRecord {
        state: completed(None),
        ..kept
    };
    assert_eq!(catalog.order(operation_id(1)).await.unwrap(), Some(expected));
    // An order that does not exist was never tried.
    catalog
        .set_order_tries(operation_id(9), &completed(None), &tries(1))
        .await
        .unwrap();
    assert_eq!(catalog.order(operation_id(9)).await.unwrap(), None);
    assert_eq!(catalog.order(operation_id(2)).await.unwrap(), Some(refund(2, 9)));
}

pub async fn open_orders_are_paged_oldest_first(catalog: &impl OrderLedger) {
    assert_eq!(catalog.open_orders(0, 9).await.unwrap(), []);
    for n in [5, 3, 4, 1, 2] {
        insert(catalog, &request(n)).await;
    }
    catalog.close_order(operation_id(4)).await.unwrap();
    let page = catalog.open_orders(0, 2).await.unwrap();
    assert_eq!(samples(&page), [5, 3], "in the order of arrival");
    assert_eq!(page[0].1, request(5));
    assert!(page[0].0 < page[1].0);
    let page = catalog.open_orders(page[1].0, 2).await.unwrap();
    assert_eq!(samples(&page), [1, 2]);
    assert_eq!(catalog.open_orders(page[1].0, 2).await.unwrap(), []);
    assert_eq!(catalog.open_orders(u64::MAX, 2).await.unwrap(), []);
}

pub async fn orders_are_paged_newest_first(catalog: &impl OrderLedger) {
    assert_eq!(catalog.orders(None, 9).await.unwrap(), []);
    for n in [5, 3, 4, 1, 2] {
        insert(catalog, &request(n)).await;
    }
    catalog.close_order(operation_id(1)).await.unwrap();
    let page = catalog.orders(None, 2).await.unwrap();
    assert_eq!(samples(&page), [2, 1]);
    assert_eq!(catalog.orders(Some(u64::MAX), 2).await.unwrap(), page);
    let page = catalog.orders(Some(page[1].0), 9).await.unwrap();
    assert_eq!(samples(&page), [4, 3, 5]);
    assert!(page[2].0 > 0);
    assert_eq!(catalog.orders(Some(page[2].0), 9).await.unwrap(), []);
    assert_eq!(catalog.orders(Some(0), 9).await.unwrap(), []);
}
