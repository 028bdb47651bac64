//! `POST /share_data` and `PUT /objects`.

use dm_core::hash::DataHash;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, OTHER, RECIPIENT, TestConfig, TestNode, start, start_with};

#[actix_web::test]
async fn a_share_answers_with_the_anchor_and_the_data_hash() {
    let node = start().await;
    let answer = node
        .share(&json!({"data": "hello", "recipient": RECIPIENT}))
        .await;
    assert_eq!(answer.status, 201);
    let body = &answer.body;
    assert_eq!(body["success"], true);
    assert_eq!(body["status"], "anchored");
    assert_eq!(body["recipient"], RECIPIENT);
    assert_eq!(body["data_hash"], DataHash::of(b"hello").to_string());
    assert_eq!(body["replicas"], 0);
    assert_eq!(body["receipt"], 0);
    assert_eq!(body["grant"], "pending");
    assert_eq!(body["tx_hash"].as_str().unwrap().len(), 66);
}

#[actix_web::test]
async fn a_share_while_the_chain_is_away_is_accepted_as_pending() {
    let node = start().await;
    node.log.set_chain_away(true);
    let answer = node
        .share(&json!({"data": "hello", "recipient": RECIPIENT}))
        .await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body["success"], true);
    assert_eq!(answer.body["status"], "pending");
    assert_eq!(answer.body["tx_hash"], Value::Null);
    assert_eq!(answer.body["data_hash"], DataHash::of(b"hello").to_string());
}

#[actix_web::test]
async fn the_same_share_again_is_the_same_share() {
    let node = start().await;
    let body = json!({"data": "hello", "recipient": RECIPIENT});
    let first = node.share(&body).await;
    let second = node.share(&body).await;
    assert_eq!(second.status, 201);
    assert_eq!(first.body, second.body);
}

#[actix_web::test]
async fn unknown_fields_and_nulls_of_old_clients_are_tolerated() {
    let node = start().await;
    let body = json!({
        "data": "hello", "recipient": format!("  {}\n", RECIPIENT.to_lowercase()),
        "payment_token": null, "payment_amount": null, "extra": {"deep": [1, 2]},
    });
    assert_eq!(node.share(&body).await.status, 201);
}

#[actix_web::test]
async fn every_invalid_field_is_named_in_the_words_of_the_interface() {
    let node = start().await;
    let no_address = "must be a valid Ethereum address (0x + 40 hex chars)";
    let bad_checksum = RECIPIENT.replace("9Fd", "9fD");
    for (body, field, sentence) in [
        (
            json!({"recipient": RECIPIENT}),
            "data",
            "data cannot be empty".to_owned(),
        ),
        (
            json!({"data": "", "recipient": RECIPIENT}),
            "data",
            "data cannot be empty".to_owned(),
        ),
        (
            json!({"data": 5, "recipient": RECIPIENT}),
            "data",
            "data must be a string".to_owned(),
        ),
        (
            json!({"data": ["x"], "recipient": RECIPIENT}),
            "data",
            "data must be a string".to_owned(),
        ),
        (
            json!({"data": "x"}),
            "recipient",
            format!("recipient {no_address}"),
        ),
        (
            json!({"data": "x", "recipient": "0x12"}),
            "recipient",
            format!("recipient {no_address}"),
        ),
        (
            json!({"data": "x", "recipient": 7}),
            "recipient",
            format!("recipient {no_address}"),
        ),
        (
            json!({"data": "x", "recipient": bad_checksum}),
            "recipient",
            "recipient must be a valid Ethereum address (its EIP-55 checksum does not match)".to_owned(),
        ),
        (
            json!({"data": "x", "recipient": RECIPIENT, "payment_amount": 5}),
            "payment_token",
            "payment_token is required when payment_amount is provided".to_owned(),
        ),
        (
            json!({"data": "x", "recipient": RECIPIENT, "payment_token": OTHER}),
            "payment_amount",
            "payment_amount is required when payment_token is provided".to_owned(),
        ),
        (
            json!({"data": "x", "recipient": RECIPIENT, "payment_token": "zero", "payment_amount": 1}),
            "payment_token",
            format!("payment_token {no_address}"),
        ),
        (
            json!({"data": "x", "recipient": RECIPIENT, "payment_token": OTHER, "payment_amount": "0"}),
            "payment_amount",
            "payment_amount must be greater than 0".to_owned(),
        ),
        (
            json!({"data": "x", "recipient": RECIPIENT, "user_id": "ann", "signature": "s"}),
            "statement",
            "statement is required, with user_id, statement and signature together".to_owned(),
        ),
        (
            json!({"data": "x", "recipient": RECIPIENT, "signature": "s"}),
            "user_id",
            "user_id is required, with user_id, statement and signature together".to_owned(),
        ),
    ] {
        node.share(&body).await.is_error(422, &sentence, Some(field));
    }
    assert_eq!(history_count(&node).await, 0, "nothing changed");
}

async fn history_count(node: &TestNode) -> u64 {
    node.get("/compliance_history").await.body["count"]
        .as_u64()
        .unwrap()
}

#[actix_web::test]
async fn text_of_one_mebibyte_is_shared_and_no_byte_more() {
    let node = start().await;
    let largest = "x".repeat(1024 * 1024);
    let answer = node
        .share(&json!({"data": largest, "recipient": RECIPIENT}))
        .await;
    assert_eq!(answer.status, 201);
    let answer = node
        .share(&json!({"data": largest + "x", "recipient": RECIPIENT}))
        .await;
    let sentence = "data must be at most 1048576 bytes here; use PUT /objects for more";
    answer.is_error(422, sentence, Some("data"));
}

#[actix_web::test]
async fn text_with_nul_and_every_escape_comes_back_as_it_was() {
    let node = start().await;
    let text = "a\u{0}b\"\\\n\u{1F600}";
    let shared = node.share(&json!({"data": text, "recipient": RECIPIENT})).await;
    let hash = shared.body["data_hash"].as_str().unwrap();
    assert_eq!(node.get(&format!("/data/{hash}")).await.body["data"], text);
}

#[actix_web::test]
async fn what_is_no_json_is_said_to_be_none() {
    let node = start().await;
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "{",
        "nonsense",
        "[]",
        "null",
        "\"text\"",
        "{\"data\": \"\u{1}\"}",
        deep.as_str(),
    ] {
        let request = node.external(Method::POST, "/share_data").body(body.to_owned());
        Answer::of(request).await.is_error(422, "Invalid JSON body", None);
    }
    let not_utf8 = node.external(Method::POST, "/share_data").body(vec![0xff, 0xfe]);
    Answer::of(not_utf8)
        .await
        .is_error(422, "Invalid JSON body", None);
}

#[actix_web::test]
async fn an_idempotency_key_makes_a_repeated_request_one_share() {
    let node = start().await;
    let share = |key: &'static str, data: &'static str| {
        node.external(Method::POST, "/share_data")
            .header("Idempotency-Key", key)
            .json(&json!({"data": data, "recipient": RECIPIENT}))
    };
    let first = Answer::of(share("order-1", "hello")).await;
    assert_eq!(first.status, 201);
    assert_eq!(Answer::of(share("order-1", "hello")).await.body, first.body);
    let reused = Answer::of(share("order-1", "other")).await;
    let sentence = "Idempotency-Key was already used for another request";
    reused.is_error(422, sentence, Some("Idempotency-Key"));
}

#[actix_web::test]
async fn an_idempotency_key_must_be_short_and_visible() {
    let node = start().await;
    let sentence = "Idempotency-Key must be 1 to 255 visible ASCII characters";
    let longest = "k".repeat(255);
    for (key, is_valid) in [
        ("", false),
        ("a b", false),
        (longest.as_str(), true),
        (&format!("{longest}k"), false),
    ] {
        let request = node
            .external(Method::POST, "/share_data")
            .header("Idempotency-Key", key)
            .json(&json!({"data": "hello", "recipient": RECIPIENT}));
        let answer = Answer::of(request).await;
        if is_valid {
            assert_eq!(answer.status, 201);
        } else {
            answer.is_error(422, sentence, Some("Idempotency-Key"));
        }
    }
}

#[actix_web::test]
async fn bytes_of_any_size_are_uploaded_in_pieces() {
    let node = start().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let pieces: Vec<_> = bytes
        .chunks(70_001)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    let request = node
        .external(Method::PUT, &format!("/objects?recipient={RECIPIENT}"))
        .body(reqwest::Body::wrap_stream(futures::stream::iter(pieces)));
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.body["data_hash"], DataHash::of(&bytes).to_string());
    assert_eq!(answer.body["recipient"], RECIPIENT);
}

#[actix_web::test]
async fn an_upload_needs_a_recipient_and_data() {
    let node = start().await;
    let sentence = "recipient must be a valid Ethereum address (0x + 40 hex chars)";
    for query in ["", "?recipient=", "?recipient=0x1", "?other=1"] {
        let request = node.external(Method::PUT, &format!("/objects{query}")).body("x");
        Answer::of(request)
            .await
            .is_error(422, sentence, Some("recipient"));
    }
    let empty = node.external(Method::PUT, &format!("/objects?recipient={RECIPIENT}"));
    Answer::of(empty)
        .await
        .is_error(422, "data cannot be empty", Some("data"));
}

#[actix_web::test]
async fn encoded_bodies_are_refused() {
    let node = start().await;
    let put = node.external(Method::PUT, &format!("/objects?recipient={RECIPIENT}"));
    let post = node.external(Method::POST, "/share_data");
    for request in [put, post] {
        let answer = Answer::of(request.header("Content-Encoding", "gzip").body("x")).await;
        answer.is_error(415, "bodies with a Content-Encoding are not supported", None);
    }
}

#[actix_web::test]
async fn a_json_body_over_the_limit_is_refused() {
    let mut setup = TestConfig::default();
    setup.external.max_json_bytes = 1024;
    let node = start_with(setup).await;
    let large = json!({"data": "x".repeat(2000), "recipient": RECIPIENT}).to_string();
    let sentence = "the body is larger than 1024 bytes";
    let announced = node.external(Method::POST, "/share_data").body(large.clone());
    Answer::of(announced).await.is_error(413, sentence, None);
    let chunk: Result<_, std::io::Error> = Ok(large);
    let unannounced = node
        .external(Method::POST, "/share_data")
        .body(reqwest::Body::wrap_stream(futures::stream::iter([chunk])));
    Answer::of(unannounced).await.is_error(413, sentence, None);
}

#[actix_web::test]
async fn a_log_that_has_forked_takes_no_share() {
    let node = start().await;
    node.log.set_fault("the chain holds another history");
    let answer = node
        .share(&json!({"data": "hello", "recipient": RECIPIENT}))
        .await;
    answer.is_error(500, "the chain holds another history", None);
}
