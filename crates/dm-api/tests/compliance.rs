//! `/verify_data`, `/receipts` and `/compliance_history`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, OTHER, RECIPIENT, TestNode, start};

async fn share(node: &TestNode, data: &str, recipient: &str) -> String {
    let answer = node.share(&json!({"data": data, "recipient": recipient})).await;
    answer.body["data_hash"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn verification_needs_no_key_and_reveals_no_recipient() {
    let node = start().await;
    let hash = share(&node, "hello", RECIPIENT).await;
    let url = format!("{}/verify_data/{}", node.external, hash.to_uppercase());
    let answer = Answer::of(node.bare(Method::GET, &url)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["hash"], hash);
    assert_eq!(answer.body["verified"], true);
    assert_eq!(answer.body["event_type"], "data_share");
    assert_eq!(answer.body["tx_hash"].as_str().unwrap().len(), 66);
    assert!(answer.body["block"].is_u64());
    assert!(answer.body["anchored_at"].is_u64());
    assert!(answer.body.get("reason").is_none());
    let text = answer.body.to_string().to_lowercase();
    assert!(!text.contains(&RECIPIENT[2..].to_lowercase()));
}

#[actix_web::test]
async fn a_share_without_anchor_is_not_verified_and_has_no_receipt() {
    let node = start().await;
    node.log.set_chain_away(true);
    let hash = share(&node, "hello", RECIPIENT).await;
    let verdict = node.get(&format!("/verify_data/{hash}")).await;
    assert_eq!(verdict.status, 200);
    assert_eq!(verdict.body["verified"], false);
    assert!(verdict.body["reason"].is_string());
    assert_eq!(verdict.body["tx_hash"], Value::Null);
    let receipt = node.get(&format!("/receipts/{hash}")).await;
    receipt.is_error(409, "it is not anchored yet; try again soon", None);
    assert_eq!(receipt.header("retry-after"), "1");
}

#[actix_web::test]
async fn the_receipt_of_a_delivery_is_asked_for_by_its_kind_of_event() {
    let node = start().await;
    let hash = share(&node, "hello", RECIPIENT).await;
    let of_share = node.get(&format!("/receipts/{hash}?event=data_share")).await;
    assert_eq!(of_share.status, 200);
    for kind in ["delivery", "acknowledgement"] {
        let none = node
            .get(&format!("/receipts/{hash}?event={kind}&recipient={RECIPIENT}"))
            .await;
        assert_eq!(none.status, 404, "{kind}");
    }
    for kind in ["", "revoke", "Delivery"] {
        let wrong = node.get(&format!("/receipts/{hash}?event={kind}")).await;
        let sentence = "event must be data_share, delivery or acknowledgement";
        wrong.is_error(422, sentence, Some("event"));
    }
}

#[actix_web::test]
async fn a_receipt_is_handed_out_and_holds() {
    let node = start().await;
    let hash = share(&node, "hello", RECIPIENT).await;
    let receipt = node.get(&format!("/receipts/{hash}")).await;
    assert_eq!(receipt.status, 200);
    assert_eq!(receipt.body["event"]["data_hash"], hash);
    let request = node
        .external(Method::POST, "/receipts/verify")
        .json(&receipt.body);
    let verdict = Answer::of(request).await;
    assert_eq!(verdict.status, 200);
    assert_eq!(verdict.body, json!({"valid": true}));
}

#[actix_web::test]
async fn the_receipt_for_one_recipient_is_found() {
    let node = start().await;
    let hash = share(&node, "hello", RECIPIENT).await;
    share(&node, "hello", OTHER).await;
    for recipient in [RECIPIENT, OTHER] {
        let receipt = node.get(&format!("/receipts/{hash}?recipient={recipient}")).await;
        assert_eq!(receipt.status, 200, "{:?}", receipt.body);
        assert_eq!(receipt.body["event"]["recipient"], recipient.to_lowercase());
    }
    let nobody = node
        .get(&format!("/receipts/{hash}?recipient=0x{}", "11".repeat(20)))
        .await;
    assert_eq!(nobody.status, 404);
    let wrong = node.get(&format!("/receipts/{hash}?recipient=0xme")).await;
    let sentence = "recipient must be a valid Ethereum address (0x + 40 hex chars)";
    wrong.is_error(422, sentence, Some("recipient"));
}

#[actix_web::test]
async fn a_changed_receipt_does_not_hold_and_says_why() {
    let node = start().await;
    let hash = share(&node, "hello", RECIPIENT).await;
    let mut receipt = node.get(&format!("/receipts/{hash}")).await.body;
    receipt["event"]["timestamp"] = json!(1);
    let request = node.external(Method::POST, "/receipts/verify").json(&receipt);
    let verdict = Answer::of(request).await;
    assert_eq!(verdict.status, 200);
    assert_eq!(verdict.body["valid"], false);
    assert!(verdict.body["reason"].is_string());
}

#[actix_web::test]
async fn what_is_no_receipt_is_refused() {
    let node = start().await;
    let hash = share(&node, "hello", RECIPIENT).await;
    let mut extended = node.get(&format!("/receipts/{hash}")).await.body;
    extended["extra"] = json!(1);
    for body in [json!({}), json!([]), json!({"version": 1}), extended] {
        let answer = Answer::of(node.external(Method::POST, "/receipts/verify").json(&body)).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &json!("receipt")),
            "{body}"
        );
    }
    let cut = node
        .external(Method::POST, "/receipts/verify")
        .body("{\"version\": 1");
    Answer::of(cut).await.is_error(422, "Invalid JSON body", None);
}

#[actix_web::test]
async fn the_history_is_paged_newest_first() {
    let node = start().await;
    let mut hashes = Vec::new();
    for number in 0..5 {
        hashes.push(share(&node, &format!("text {number}"), RECIPIENT).await);
    }
    hashes.reverse();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = node.get(&format!("/compliance_history?limit=2{cursor}")).await;
        assert_eq!(page.status, 200);
        let lines = page.body["history"].as_array().unwrap();
        assert_eq!(page.body["count"], lines.len());
        for line in lines {
            assert_eq!(line["event_type"], "data_share");
            assert_eq!(line["recipient"], RECIPIENT);
            assert!(line["timestamp"].as_f64().unwrap() > 1e9);
            assert_eq!(line["tx_hash"].as_str().unwrap().len(), 66);
            found.push(line["data_hash"].as_str().unwrap().to_owned());
        }
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, hashes);
}

#[actix_web::test]
async fn the_history_is_filtered_by_type() {
    let node = start().await;
    share(&node, "hello", RECIPIENT).await;
    for (filters, count) in [
        ("data_share,transfer", 1),
        ("transfer", 0),
        ("no_such-type1", 0),
        ("", 1),
    ] {
        let answer = node.get(&format!("/compliance_history?filters={filters}")).await;
        assert_eq!(answer.status, 200, "{filters}");
        assert_eq!(answer.body["count"], count, "{filters}");
        let echoed: Vec<&str> = filters.split(',').filter(|name| !name.is_empty()).collect();
        assert_eq!(answer.body["filters"], json!(echoed));
    }
}

#[actix_web::test]
async fn invalid_parameters_of_the_history_are_named() {
    let node = start().await;
    let long = "x".repeat(101);
    for (query, field) in [
        ("filters=a,,b", "filters"),
        ("filters=a%20b", "filters"),
        ("filters=a%00", "filters"),
        (&format!("filters={long}"), "filters"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=99999999999999999999999", "cursor"),
    ] {
        let answer = node.get(&format!("/compliance_history?{query}")).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &json!(field)),
            "{query}"
        );
    }
    let doubled = node.get("/compliance_history?limit=1&limit=2").await;
    doubled.is_error(422, "the query string is not valid", None);
}
