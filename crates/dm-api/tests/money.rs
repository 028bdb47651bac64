//! Transfers, tokens and paid shares over HTTP.

mod refunds;

use std::time::Duration;

use dm_core::{
    Address, U256,
    operation::{Operation, OperationId},
    ports::{Operations, Tokens},
};
use dm_testing::money::Habit;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, OTHER, RECIPIENT, TestConfig, TestNode, start, start_with};

const ZERO: &str = "0x0000000000000000000000000000000000000000";

/// A token that the node supports, all of which `owner` has.
async fn token(node: &TestNode, owner: Address) -> String {
    let token = node.money.issue(owner, "DATA", 1000).to_string();
    let answer = node.post_internal("/tokens", &json!({"address": token})).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    assert_eq!(answer.body["success"], true);
    assert_eq!(answer.body["address"], token);
    token
}

async fn balance(node: &TestNode, token: &str, account: &str) -> u64 {
    let (token, account) = (token.parse().unwrap(), account.parse().unwrap());
    node.money.balance_of(token, account).await.unwrap().to()
}

fn transfer(node: &TestNode, token: &str, amount: &str) -> Value {
    json!({"from": node.address.to_string(), "to": RECIPIENT, "amount": amount, "token": token})
}

#[actix_web::test]
async fn a_transfer_says_who_paid_what_to_whom() {
    let node = start().await;
    let token = token(&node, node.address).await;
    let answer = node
        .post_internal("/transfer", &transfer(&node, &token, "30"))
        .await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let body = &answer.body;
    assert_eq!(body["success"], true);
    assert_eq!(body["from"], node.address.to_string());
    assert_eq!(body["gas_paid_by"], node.address.to_string());
    assert_eq!((&body["to"], &body["amount"]), (&json!(RECIPIENT), &json!("30")));
    assert!(body["tx_hash"].is_string());
    assert_eq!(balance(&node, &token, RECIPIENT).await, 30);
    let page = node.get_internal("/transfers?limit=1").await;
    assert_eq!(page.body["count"], 1);
    assert_eq!(page.body["transfers"][0]["tx_hash"], body["tx_hash"]);
    assert_eq!(page.body["next_cursor"], Value::Null);
}

#[actix_web::test]
async fn a_bad_transfer_moves_nothing_and_names_its_field() {
    let node = start().await;
    let token = token(&node, node.address).await;
    let with = |field: &str, value: Value| {
        let mut body = transfer(&node, &token, "5");
        body[field] = value;
        body
    };
    for (body, status, field) in [
        (with("amount", json!(0)), 422, "amount"),
        (with("amount", json!(-1)), 422, "amount"),
        (with("amount", json!(1.5)), 422, "amount"),
        (with("amount", json!("1e3")), 422, "amount"),
        (with("amount", json!("+5")), 422, "amount"),
        (with("amount", json!(" 5")), 422, "amount"),
        (
            with("amount", json!("1000000000000000000000000000001")),
            422,
            "amount",
        ),
        (with("amount", json!("9".repeat(80))), 422, "amount"),
        (with("to", json!(RECIPIENT.replace("f39F", "F39f"))), 422, "to"),
        (with("to", json!("0x12")), 422, "to"),
        (with("to", json!(ZERO)), 400, "to"),
        (with("from", Value::Null), 422, "from"),
        (with("token", json!(OTHER)), 400, "token"),
        (with("permit", json!({})), 422, "permit"),
        (with("authorization", json!("x")), 422, "authorization"),
    ] {
        let answer = node.post_internal("/transfer", &body).await;
        assert_eq!(answer.status, status, "{body} {:?}", answer.body);
        assert_eq!(answer.body["field"], field, "{body} {:?}", answer.body);
    }
    assert_eq!(balance(&node, &token, RECIPIENT).await, 0);
}

#[actix_web::test]
async fn somebody_elses_money_needs_an_allowance() {
    let node = start().await;
    let owner: Address = OTHER.parse().unwrap();
    let token = token(&node, owner).await;
    let mut body = transfer(&node, &token, "30");
    body["from"] = json!(OTHER);
    let refused = node.post_internal("/transfer", &body).await;
    assert_eq!(refused.status, 402, "{:?}", refused.body);
    assert_eq!(refused.body["account"], OTHER);
    assert_eq!(
        (&refused.body["balance"], &refused.body["allowance"]),
        (&json!("1000"), &json!("0"))
    );
    let approve = Operation::Approve {
        token: token.parse().unwrap(),
        spender: node.address,
        amount: U256::from(30),
    };
    let owners = node.money.operations(owner);
    owners.begin(OperationId::random(), &approve).await.unwrap();
    let moved = node.post_internal("/transfer", &body).await;
    assert_eq!(moved.status, 200, "{:?}", moved.body);
    assert_eq!(moved.body["from"], OTHER);
    assert_eq!(moved.body["consent"], "allowance");
}

#[actix_web::test]
async fn a_repeated_transfer_is_one_transfer() {
    let node = start().await;
    let token = token(&node, node.address).await;
    let body = transfer(&node, &token, "30");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let request = node
            .internal(Method::POST, "/transfer")
            .header("Idempotency-Key", "a")
            .json(&body);
        ids.push(Answer::of(request).await.body["id"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(balance(&node, &token, RECIPIENT).await, 30);
}

#[actix_web::test]
async fn a_transfer_that_is_not_mined_in_time_answers_202() {
    let node = start_with(TestConfig {
        money_patience: Duration::from_millis(20),
        ..TestConfig::default()
    })
    .await;
    let token = token(&node, node.address).await;
    node.money.set_mining(false);
    let answer = node
        .post_internal("/transfer", &transfer(&node, &token, "30"))
        .await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    assert_eq!(answer.body["status"], "sent");
    assert!(answer.body["tx_hash"].is_string());
}

#[actix_web::test]
async fn a_token_is_issued_minted_and_allowed() {
    let node = start().await;
    let body = json!({"name": "Credit", "symbol": "CR", "initial_supply": "500", "decimals": 2});
    let issued = node.post_internal("/tokens/issue", &body).await;
    assert_eq!(issued.status, 201, "{:?}", issued.body);
    let token = issued.body["address"].as_str().unwrap().to_owned();
    let listed = node.get_internal("/tokens").await;
    assert_eq!(listed.body["tokens"][1]["symbol"], "CR");
    assert_eq!(listed.body["tokens"][1]["decimals"], 2);
    let minted = node
        .post_internal(
            &format!("/tokens/{token}/mint"),
            &json!({"to": RECIPIENT, "amount": 7}),
        )
        .await;
    assert_eq!(minted.status, 200, "{:?}", minted.body);
    assert!(minted.body["tx_hash"].is_string());
    let allowed = node
        .post_internal(
            &format!("/tokens/{token}/approve"),
            &json!({"spender": OTHER, "amount": 7}),
        )
        .await;
    assert_eq!(allowed.status, 200, "{:?}", allowed.body);
    let read = node
        .get_internal(&format!("/balance/{RECIPIENT}?token={token}"))
        .await;
    assert_eq!(read.body["balance"], "7");
    let account = node.get_internal("/account").await;
    assert_eq!(account.body["address"], node.address.to_string());
}

#[actix_web::test]
async fn an_allowance_is_taken_back_by_nothing() {
    let node = start().await;
    let token = token(&node, node.address).await;
    let allowed = async || {
        let (token, spender) = (token.parse().unwrap(), OTHER.parse().unwrap());
        node.money.allowance(token, node.address, spender).await.unwrap()
    };
    let route = format!("/tokens/{token}/approve");
    // As with USDT, so that each further one takes the one before back.
    node.money.change(token.parse().unwrap(), |token| {
        token.habit = Habit::DemandsZeroFirst;
    });
    for amount in [json!(7), json!("9"), json!(0), json!(5), json!("0")] {
        let body = json!({"spender": OTHER, "amount": amount});
        let answer = node.post_internal(&route, &body).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let amount = amount.to_string().replace('"', "");
        assert_eq!(allowed().await.to_string(), amount);
        assert_eq!(answer.body["amount"], amount);
    }
    for amount in [json!(-1), json!("-0"), json!(""), Value::Null] {
        let body = json!({"spender": OTHER, "amount": amount});
        let answer = node.post_internal(&route, &body).await;
        assert_eq!((answer.status, &answer.body["field"]), (422, &json!("amount")));
    }
}

/// A signed allowance, for the account that takes.
fn permit() -> Value {
    json!({"deadline": 4_000_000_000_u64, "signature": format!("0x{}1b", "11".repeat(64))})
}

#[actix_web::test]
async fn after_a_change_of_the_operator_account_signed_consents_are_for_the_new_one() {
    let node = start().await;
    let owner: Address = RECIPIENT.parse().unwrap();
    let token = token(&node, owner).await;
    node.operations.change_to(OTHER.parse().unwrap());
    let order = json!({
        "from": RECIPIENT, "to": node.address.to_string(), "amount": 30, "token": token, "permit": permit(),
    });
    let moved = node.post_internal("/transfer", &order).await;
    assert_eq!(moved.status, 200, "{:?}", moved.body);
    assert_eq!(moved.body["gas_paid_by"], OTHER);
    let mut consent = permit();
    consent["signature"] = json!(format!("0x{}1b", "22".repeat(64)));
    let priced = json!({
        "data": "x", "recipient": RECIPIENT, "payment_token": token, "payment_amount": 40, "permit": consent,
    });
    let shared = node.share(&priced).await;
    assert_eq!(shared.status, 201, "{:?}", shared.body);
    assert_eq!(balance(&node, &token, OTHER).await, 40);
    let account = node.get_internal("/account").await;
    assert_eq!(account.body["operator"], OTHER);
}

#[actix_web::test]
async fn a_token_is_asked_again_for_its_facts_and_keeps_them_where_it_does_not_answer() {
    let node = start().await;
    let token = node.money.issue(node.address, "OLD", 1);
    let body = json!({"address": token.to_string()});
    assert_eq!(node.post_internal("/tokens", &body).await.status, 201);
    node.money.change(token, |token| {
        token.info.symbol = "NEW".into();
        token.info.decimals = 6;
    });
    let refresh = format!("/tokens/{token}/refresh");
    node.money.set_away(true);
    let away = node.post_internal(&refresh, &json!({})).await;
    assert_eq!(away.status, 503, "{:?}", away.body);
    assert!(!away.header("retry-after").is_empty());
    let kept = node.get_internal("/tokens").await;
    assert_eq!(kept.body["tokens"][1]["symbol"], "OLD");
    node.money.set_away(false);
    let refreshed = node.post_internal(&refresh, &json!({})).await;
    assert_eq!(refreshed.status, 200, "{:?}", refreshed.body);
    assert_eq!(
        (&refreshed.body["symbol"], &refreshed.body["decimals"]),
        (&json!("NEW"), &json!(6))
    );
    let listed = node.get_internal("/tokens").await;
    assert_eq!(listed.body["tokens"][1]["decimals"], 6);
    let unknown = node
        .post_internal(&format!("/tokens/{OTHER}/refresh"), &json!({}))
        .await;
    assert_eq!(unknown.status, 400, "{:?}", unknown.body);
}

#[actix_web::test]
async fn what_is_no_token_or_no_abi_is_refused() {
    let node = start().await;
    let token = node.money.issue(node.address, "DATA", 1).to_string();
    for (body, status, field) in [
        (json!({"address": OTHER}), 400, "address"),
        (json!({"address": ZERO}), 400, "address"),
        (json!({"address": 5}), 422, "address"),
        (json!({"address": token, "abi": "none"}), 422, "abi"),
        (
            json!({"address": token, "abi": [{"type": "function", "name": "other"}]}),
            422,
            "abi",
        ),
        (
            json!({"address": token, "abi": vec![" ".repeat(1000); 300]}),
            422,
            "abi",
        ),
    ] {
        let answer = node.post_internal("/tokens", &body).await;
        assert_eq!(answer.status, status, "{:?}", answer.body);
        assert_eq!(answer.body["field"], field, "{:?}", answer.body);
    }
    let mint = node
        .post_internal(
            &format!("/tokens/{OTHER}/mint"),
            &json!({"to": OTHER, "amount": 1}),
        )
        .await;
    assert_eq!(mint.status, 400, "{:?}", mint.body);
    let nameless = node.post_internal("/tokens/issue", &json!({"symbol": "X"})).await;
    nameless.is_error(422, "name must have 1 to 64 printable characters", Some("name"));
}

#[actix_web::test]
async fn a_paid_share_shows_its_payment_and_an_unpaid_one_is_refused() {
    let node = start().await;
    let buyer: Address = RECIPIENT.parse().unwrap();
    let token = token(&node, buyer).await;
    let body = json!({"data": "x", "recipient": RECIPIENT, "payment_token": token, "payment_amount": 40});
    let unknown = json!({"data": "x", "recipient": RECIPIENT, "payment_token": OTHER, "payment_amount": 1});
    node.share(&unknown).await.is_error(
        400,
        "payment_token is not supported by this node",
        Some("payment_token"),
    );
    let refused = node.share(&body).await;
    assert_eq!(refused.status, 402, "{:?}", refused.body);
    assert_eq!(
        (&refused.body["amount"], &refused.body["token"]),
        (&json!("40"), &json!(token))
    );
    let approve = Operation::Approve {
        token: token.parse().unwrap(),
        spender: node.address,
        amount: U256::from(100),
    };
    let buyers = node.money.operations(buyer);
    buyers.begin(OperationId::random(), &approve).await.unwrap();
    let shared = node.share(&body).await;
    assert_eq!(shared.status, 201, "{:?}", shared.body);
    assert_eq!(shared.body["payment"]["paid_by"], RECIPIENT);
    let path = format!("/objects?recipient={RECIPIENT}&payment_token={token}&payment_amount=20");
    let upload = Answer::of(node.external(Method::PUT, &path).body("y")).await;
    assert_eq!(upload.status, 201, "{:?}", upload.body);
    assert_eq!(balance(&node, &token, &node.address.to_string()).await, 60);
}

#[actix_web::test]
async fn moving_money_needs_the_scope_admin() {
    let node = start().await;
    for path in [
        "/transfer",
        "/tokens",
        "/tokens/issue",
        "/tokens/0x0/mint",
        "/tokens/0x0/approve",
        "/transfers/0/retry",
        "/transfers/0/end",
    ] {
        let url = format!("{}{path}", node.internal);
        let request = node
            .bare(Method::POST, &url)
            .header("X-API-Key", &node.keys.share);
        assert_eq!(Answer::of(request.json(&json!({}))).await.status, 403, "{path}");
        assert_eq!(
            Answer::of(node.bare(Method::POST, &url)).await.status,
            401,
            "{path}"
        );
    }
}
