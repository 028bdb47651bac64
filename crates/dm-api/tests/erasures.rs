//! `DELETE /data/{data_hash}` and `/data/{data_hash}/grants`.

use reqwest::Method;
use serde_json::json;

use crate::common::{Answer, NO_DATA, OTHER, RECIPIENT, TestNode, start};

async fn share(node: &TestNode) -> String {
    let shared = node
        .share(&json!({"data": "hello", "recipient": RECIPIENT}))
        .await;
    assert_eq!(shared.status, 201);
    shared.body["data_hash"].as_str().unwrap().to_owned()
}

async fn erase(node: &TestNode, hash: &str) -> Answer {
    Answer::of(node.external(Method::DELETE, &format!("/data/{hash}"))).await
}

async fn grant(node: &TestNode, hash: &str, body: &serde_json::Value) -> Answer {
    let route = format!("/data/{hash}/grants");
    Answer::of(node.external(Method::POST, &route).json(body)).await
}

#[actix_web::test]
async fn erased_data_is_not_found_any_more_and_the_answer_says_when() {
    let node = start().await;
    let hash = share(&node).await;
    let erased = erase(&node, &hash).await;
    assert_eq!(erased.status, 200);
    assert_eq!(erased.body["success"], true);
    assert_eq!(erased.body["status"], "anchored");
    assert_eq!(erased.body["receipt"], 1);
    assert!(erased.body["erased_at"].as_u64().unwrap() > 1_700_000_000_000);
    for route in ["data", "objects"] {
        assert_eq!(node.get(&format!("/{route}/{hash}")).await.status, 404);
    }
    assert_eq!(erase(&node, &hash).await.body, erased.body);
    assert_eq!(erase(&node, NO_DATA).await.status, 404);
    assert_eq!(erase(&node, "rubbish").await.status, 422);
}

#[actix_web::test]
async fn a_further_reader_is_granted_and_listed() {
    let node = start().await;
    let hash = share(&node).await;
    let granted = grant(&node, &hash, &json!({"recipient": OTHER})).await;
    assert_eq!(granted.status, 201);
    assert_eq!(granted.body["recipient"], OTHER);
    assert_eq!(granted.body["receipt"], 1);
    let own = grant(&node, &hash, &json!({"recipient": node.address.to_string()})).await;
    assert_eq!(own.status, 201);
    let readers = node.get(&format!("/data/{hash}/grants")).await;
    // The keys of the others are not known yet.
    assert_eq!(readers.body["recipients"], json!([node.address.to_string()]));
    let nobody = grant(&node, &hash, &json!({"recipient": "0x1"})).await;
    assert_eq!((nobody.status, &nobody.body["field"]), (422, &json!("recipient")));
    assert_eq!(
        grant(&node, NO_DATA, &json!({"recipient": OTHER})).await.status,
        404
    );
    assert_eq!(node.get(&format!("/data/{NO_DATA}/grants")).await.status, 404);
}
