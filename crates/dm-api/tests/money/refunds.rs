//! Refunds over HTTP.

use dm_core::{
    Address, U256,
    clock::now_ms,
    operation::OperationId,
    order::{Consent, Order, OrderRecord, OrderState, Purpose, TransferOrder, Tries},
    ports::{ChainError, OrderCatalog},
};
use serde_json::json;

use super::{balance, token};

use crate::common::{RECIPIENT, TestNode, start};

/// A refund of 30 that the node owes, put off for an hour after an attempt; its name.
async fn owed_refund(node: &TestNode, token: &str) -> String {
    let record = |id: OperationId, purpose, from: Address, to: Address| OrderRecord {
        id,
        order: Order::Transfer(TransferOrder {
            token: token.parse().unwrap(),
            from,
            to,
            amount: U256::from(30),
            consent: Consent::Own,
        }),
        purpose,
        idempotency_key: None,
        created_at: 1,
        state: OrderState::Accepted,
        tries: Tries::default(),
        event_index: None,
    };
    let buyer = RECIPIENT.parse().unwrap();
    let payment = OperationId::random();
    let refund = OrderRecord {
        tries: Tries {
            failed: 2,
            reason: Some("gas costs too much".to_owned()),
            next_at: now_ms() + 3_600_000,
            ..Tries::default()
        },
        ..record(
            payment.part("refund"),
            Purpose::Refund { of: payment },
            node.address,
            buyer,
        )
    };
    node.catalog.insert_order(&refund).await.unwrap();
    refund.id.to_string()
}

#[actix_web::test]
async fn a_refund_that_waits_shows_why_and_is_tried_at_once_when_asked() {
    let node = start().await;
    let token = token(&node, node.address).await;
    let id = owed_refund(&node, &token).await;
    let page = node.get_internal("/transfers").await;
    let shown = &page.body["transfers"][0];
    assert_eq!(
        (&shown["id"], &shown["purpose"], &shown["status"]),
        (&json!(id), &json!("refund"), &json!("accepted"))
    );
    assert_eq!(
        (&shown["attempts"], &shown["reason"]),
        (&json!(2), &json!("gas costs too much"))
    );
    assert!(shown["next_try"].as_f64().unwrap() > shown["timestamp"].as_f64().unwrap());
    node.money
        .set_refusal(Some(ChainError::Refused("still too dear".to_owned())));
    let route = format!("/transfers/{id}/retry");
    let waiting = node.post_internal(&route, &json!({})).await;
    assert_eq!(waiting.status, 202, "{:?}", waiting.body);
    assert_eq!(waiting.body["attempts"], 3);
    assert!(
        waiting.body["reason"]
            .as_str()
            .unwrap()
            .contains("still too dear")
    );
    node.money.set_refusal(None);
    let made = node.post_internal(&route, &json!({})).await;
    assert_eq!(made.status, 200, "{:?}", made.body);
    assert_eq!(
        (&made.body["status"], &made.body["attempts"]),
        (&json!("completed"), &json!(4))
    );
    assert_eq!(balance(&node, &token, RECIPIENT).await, 30);
    let again = node.post_internal(&route, &json!({})).await;
    assert_eq!(again.status, 409, "{:?}", again.body);
    assert_eq!(balance(&node, &token, RECIPIENT).await, 30);
}

#[actix_web::test]
async fn a_refund_is_ended_with_a_reason_and_never_made() {
    let node = start().await;
    let token = token(&node, node.address).await;
    let id = owed_refund(&node, &token).await;
    let route = format!("/transfers/{id}/end");
    for reason in [
        json!({}),
        json!({"reason": ""}),
        json!({"reason": 5}),
        json!({"reason": "x".repeat(501)}),
    ] {
        let answer = node.post_internal(&route, &reason).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &json!("reason")),
            "{reason}"
        );
    }
    let ended = node
        .post_internal(&route, &json!({"reason": "paid in cash"}))
        .await;
    assert_eq!(ended.status, 200, "{:?}", ended.body);
    assert_eq!(
        (&ended.body["status"], &ended.body["reason"]),
        (&json!("ended"), &json!("paid in cash"))
    );
    let retried = node
        .post_internal(&format!("/transfers/{id}/retry"), &json!({}))
        .await;
    assert_eq!(retried.status, 409, "{:?}", retried.body);
    assert_eq!(balance(&node, &token, RECIPIENT).await, 0);
    let unknown = OperationId::random();
    for (route, status) in [
        (format!("/transfers/{unknown}/retry"), 404),
        ("/transfers/x/retry".to_owned(), 422),
        (format!("/transfers/{unknown}/end"), 404),
    ] {
        let answer = node.post_internal(&route, &json!({"reason": "x"})).await;
        assert_eq!(answer.status, status, "{:?}", answer.body);
    }
}
