//! `/shares`: where the shares of this node stand.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{NO_DATA, OTHER, RECIPIENT, TestNode, start};

async fn found(node: &TestNode, query: &str) -> Vec<Value> {
    let answer = node.get(&format!("/shares?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {:?}", answer.body);
    answer.body["shares"].as_array().unwrap().clone()
}

#[actix_web::test]
async fn shares_are_found_by_recipient_name_label_and_state() {
    let node = start().await;
    for (data, recipients, name) in [
        ("a", vec![RECIPIENT], "a.txt"),
        ("b", vec![RECIPIENT, OTHER], "b.txt"),
    ] {
        let body = json!({
            "data": data, "recipients": recipients, "name": name, "labels": {"stage": "final"},
        });
        assert_eq!(node.share(&body).await.status, 201);
    }
    for (query, expected) in [
        ("", 3),
        (&format!("recipient={RECIPIENT}"), 2),
        ("name=b.txt", 2),
        (&format!("name=b.txt&recipient={OTHER}"), 1),
        ("label.stage=final&name=a.txt", 1),
        ("label.stage=draft", 0),
        ("state=shared", 3),
        ("state=notified,acknowledged", 0),
    ] {
        assert_eq!(found(&node, query).await.len(), expected, "{query}");
    }
    let first = node.get("/shares?limit=2").await.body;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = found(&node, &format!("cursor={cursor}")).await;
    assert_eq!((rest.len(), &rest[0]["name"]), (1, &json!("a.txt")));
    assert_eq!(first["shares"][0]["recipient"], OTHER);
}

#[actix_web::test]
async fn all_of_one_piece_of_data_is_told() {
    let node = start().await;
    let body = json!({"data": "b", "recipients": [RECIPIENT, OTHER], "name": "b.txt"});
    let shared = node.share(&body).await;
    let hash = shared.body["shares"][0]["data_hash"].as_str().unwrap();
    let told = node.get(&format!("/shares/{hash}")).await.body;
    assert_eq!((&told["name"], &told["size"]), (&json!("b.txt"), &json!(1)));
    assert_eq!(told["replicas_wanted"], 3);
    assert_eq!(told["shares"].as_array().unwrap().len(), 2);
    let events = told["events"].as_array().unwrap();
    let positions: Vec<&Value> = events.iter().map(|event| &event["receipt"]).collect();
    assert_eq!(positions, [1, 0]);
    assert_eq!(node.get(&format!("/shares/{NO_DATA}")).await.status, 404);
    let erased = node
        .external(Method::DELETE, &format!("/data/{hash}"))
        .send()
        .await;
    assert!(erased.unwrap().status().is_success());
    let ended = found(&node, "state=erased&name=b.txt").await;
    assert_eq!(ended.len(), 2);
    assert!(!ended[0]["ended_at"].is_null());
}

#[actix_web::test]
async fn a_new_description_is_that_of_all_shares() {
    let node = start().await;
    node.share(&json!({"data": "a", "recipient": RECIPIENT, "name": "old.txt"}))
        .await;
    node.share(&json!({"data": "a", "recipient": OTHER, "name": "new.txt"}))
        .await;
    assert_eq!(found(&node, "name=old.txt").await.len(), 0);
    assert_eq!(found(&node, "name=new.txt").await.len(), 2);
    node.share(&json!({"data": "a", "recipient": RECIPIENT, "name": "newest.txt"}))
        .await;
    assert_eq!(found(&node, "name=newest.txt").await.len(), 2);
}

#[actix_web::test]
async fn a_filter_of_shares_that_is_none_is_refused_and_named() {
    let node = start().await;
    for (query, field, part) in [
        ("recipient=acme", "recipient", "Ethereum address"),
        ("state=new", "state", "shared, notified"),
        ("limit=1001", "limit", "1 to 1000"),
        ("cursor=x", "cursor", "next_cursor"),
        ("label.=x", "labels", "keys"),
    ] {
        let refused = node.get(&format!("/shares?{query}")).await;
        let sentence = refused.body["error"].as_str().unwrap().to_owned();
        assert!(sentence.contains(part), "{query}: {sentence}");
        refused.is_error(422, &sentence, Some(field));
    }
}
