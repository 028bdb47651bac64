//! Contacts: names for addresses, wherever an address goes.

use dm_core::{
    contact::{Contact, RecordChange},
    ports::ContactBook,
};
use dm_testing::catalog::samples::{contact, seen_record};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, OTHER, RECIPIENT, TestNode, start};

async fn put(node: &TestNode, name: &str, body: &Value) -> Answer {
    let path = format!("/contacts/{name}");
    Answer::of(node.internal(Method::PUT, &path).json(body)).await
}

async fn remove(node: &TestNode, name: &str) -> Answer {
    let path = format!("/contacts/{name}");
    Answer::of(node.internal(Method::DELETE, &path)).await
}

#[actix_web::test]
async fn a_contact_is_added_shown_changed_and_removed() {
    let node = start().await;
    let added = put(
        &node,
        "Acme",
        &json!({"address": RECIPIENT.to_lowercase(), "trust": "ask", "note": "näher"}),
    )
    .await;
    assert_eq!(added.status, 201, "{:?}", added.body);
    assert_eq!(added.body["name"], "acme");
    assert_eq!(added.body["address"], RECIPIENT);
    assert_eq!(added.body["changed"], Value::Null);
    let shown = node.get_internal("/contacts/ACME").await;
    assert_eq!((shown.status, &shown.body), (200, &added.body));
    let changed = put(&node, "acme", &json!({"address": OTHER, "trust": "accept"})).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.body["note"], Value::Null);
    let listed = node.get_internal("/contacts").await;
    assert_eq!(
        listed.body,
        json!({"contacts": [changed.body], "next_cursor": null})
    );
    let removed = remove(&node, "acme").await;
    assert_eq!(removed.body, json!({"success": true, "name": "acme"}));
    for gone in [
        remove(&node, "acme").await,
        node.get_internal("/contacts/acme").await,
    ] {
        gone.is_error(404, "Contact not found", None);
    }
}

#[actix_web::test]
async fn contacts_are_listed_in_pages() {
    let node = start().await;
    for (n, name) in (1..).zip(["b", "a", "c"]) {
        node.catalog.put_contact(&contact(name, n)).await.unwrap();
    }
    let first = node.get_internal("/contacts?limit=2").await;
    assert_eq!(first.body["next_cursor"], "b");
    let rest = node.get_internal("/contacts?limit=2&cursor=b").await;
    assert_eq!(rest.body["contacts"][0]["name"], "c");
    assert_eq!(rest.body["next_cursor"], Value::Null);
}

#[actix_web::test]
async fn a_bad_contact_is_refused_and_its_fault_is_named() {
    let node = start().await;
    let body = json!({"address": RECIPIENT, "trust": "accept"});
    let long = "a".repeat(33);
    let huge = "a".repeat(10 * 1024);
    for name in [
        "a%5cb", "a%00", "a%0a", "a%7f", "%C3%A4", "a%20b", "1acme", "0xacme", RECIPIENT, &long, &huge,
    ] {
        let refused = put(&node, name, &body).await;
        let sentence = "name must be a letter and up to 31 more letters, digits, `_`, `.` or `-`";
        refused.is_error(422, sentence, Some("name"));
    }
    // Clients and servers take these for steps within the path.
    for name in ["..", "%2e%2e", "a/b", "a%2fb"] {
        let refused = put(&node, name, &body).await;
        assert!([404, 405, 422].contains(&refused.status), "{name} {refused:?}");
    }
    let wrong = RECIPIENT.replace("9Fd", "9fD");
    for (field, value) in [
        ("address", json!(wrong)),
        ("address", json!("acme")),
        ("address", json!(7)),
        ("address", Value::Null),
        ("trust", json!("friend")),
        ("trust", json!("Accept")),
        ("trust", Value::Null),
        ("note", json!("x".repeat(501))),
        ("note", json!("\u{1b}[2J")),
        ("note", json!(["x"])),
    ] {
        let mut body = body.clone();
        body[field] = value;
        let refused = put(&node, "acme", &body).await;
        assert_eq!(refused.status, 422, "{body} {:?}", refused.body);
        assert_eq!(refused.body["field"], field);
    }
    assert_eq!(node.get_internal("/contacts").await.body["contacts"], json!([]));
    put(&node, "acme", &body).await;
    let taken = put(&node, "other", &body).await;
    taken.is_error(409, "address belongs to the contact acme", Some("address"));
}

#[actix_web::test]
async fn a_contact_whose_record_has_changed_shows_it_until_it_is_put_again() {
    let node = start().await;
    let changed = Contact {
        address: RECIPIENT.parse().unwrap(),
        confirmed: Some(seen_record(1)),
        changed: Some(RecordChange {
            at: 7,
            record: seen_record(2),
        }),
        ..contact("acme", 1)
    };
    node.catalog.put_contact(&changed).await.unwrap();
    let shown = node.get_internal("/contacts/acme").await;
    assert_eq!(shown.body["changed"], json!({"at": 7, "what": ["key", "peer"]}));
    let confirmed = put(&node, "acme", &json!({"address": RECIPIENT, "trust": "accept"})).await;
    assert_eq!(confirmed.body["changed"], Value::Null);
}

#[actix_web::test]
async fn a_contacts_name_stands_wherever_an_address_does() {
    let node = start().await;
    let acme = json!({"address": RECIPIENT, "trust": "accept"});
    put(&node, "acme", &acme).await;
    let shared = node
        .share(&json!({"data": "for acme", "recipient": "Acme"}))
        .await;
    assert_eq!(shared.body["recipient"], RECIPIENT);
    let hash = shared.body["data_hash"].as_str().unwrap().to_owned();
    let upload = node
        .external(Method::PUT, "/objects?recipient=acme")
        .body("bytes");
    let uploaded = Answer::of(upload).await;
    assert_eq!(uploaded.body["recipient"], RECIPIENT);
    put(&node, "other", &json!({"address": OTHER, "trust": "ask"})).await;
    let grants = format!("/data/{hash}/grants");
    let recipient = json!({"recipient": "other"});
    let granted = Answer::of(node.external(Method::POST, &grants).json(&recipient)).await;
    assert_eq!(granted.body["recipient"], OTHER, "{:?}", granted.body);
    let receipt = node.get(&format!("/receipts/{hash}?recipient=other")).await;
    assert_ne!(receipt.status, 422, "{:?}", receipt.body);
    let revoked = Answer::of(node.external(Method::DELETE, &grants).json(&recipient)).await;
    assert_eq!(revoked.body["recipient"], OTHER, "{:?}", revoked.body);
    let balance = node.get_internal("/balance/acme").await;
    assert_eq!(balance.body["address"], RECIPIENT);
    let record = node.get("/network/addresses/acme").await;
    assert_ne!(record.status, 422, "{:?}", record.body);
    let transfer = json!({
        "from": node.address.to_string(),
        "to": "acme",
        "amount": "1",
        "token": "0x0000000000000000000000000000000000000000",
    });
    let moved = node.post_internal("/transfer", &transfer).await;
    assert_ne!(moved.status, 422, "{:?}", moved.body);
    let subscription = json!({
        "name": "from acme",
        "url": "https://receiver.example/hook",
        "topics": ["data.received"],
        "filter": {"from": "acme"},
    });
    let subscribed = node.post_internal("/subscriptions", &subscription).await;
    assert_eq!(
        subscribed.body["filter"]["from"], RECIPIENT,
        "{:?}",
        subscribed.body
    );
    let key = json!({"name": "k", "scopes": ["share"], "recipients": ["acme"]});
    let key = node.post_internal("/api_keys", &key).await;
    assert_eq!(key.body["recipients"], json!([RECIPIENT]), "{:?}", key.body);
}

#[actix_web::test]
async fn a_key_that_is_narrowed_to_others_does_not_reach_a_contact_by_its_name() {
    let node = start().await;
    put(&node, "acme", &json!({"address": RECIPIENT, "trust": "accept"})).await;
    let narrow = json!({"name": "k", "scopes": ["share"], "recipients": [OTHER]});
    let narrow = node.post_internal("/api_keys", &narrow).await;
    let share = node
        .bare(Method::POST, &format!("{}/share_data", node.external))
        .header("X-API-Key", narrow.body["key"].as_str().unwrap())
        .json(&json!({"data": "x", "recipient": "acme"}));
    assert_eq!(Answer::of(share).await.status, 403);
}

#[actix_web::test]
async fn an_unknown_name_is_refused_and_named() {
    let node = start().await;
    let refused = node.share(&json!({"data": "x", "recipient": "Nobody"})).await;
    refused.is_error(
        422,
        "recipient must be a valid Ethereum address (0x + 40 hex chars), or the name of a contact: \
         there is no contact nobody",
        Some("recipient"),
    );
    let wrong = RECIPIENT.replace("9Fd", "9fD");
    let refused = node.share(&json!({"data": "x", "recipient": wrong})).await;
    refused.is_error(
        422,
        "recipient must be a valid Ethereum address (its EIP-55 checksum does not match)",
        Some("recipient"),
    );
}
