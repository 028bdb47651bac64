//! Who has asked for a change, and what came of it.

use dm_core::api_key::Scope;
use dm_testing::waiting::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::common::{
    Answer, RECIPIENT, TestNode,
    company::{Company, browser_token, person, told},
    raw, start,
    watched_store::WatchedStore,
};

/// What the bus has heard of acts with API keys.
fn acts_with_keys(node: &TestNode) -> Vec<Value> {
    let events = node.bus.history(200).into_iter();
    let parts = events.map(|event| event.parts());
    let acts = parts.filter(|(topic, _)| topic == "api_key.acted");
    acts.map(|(_, act)| act).collect()
}

#[actix_web::test]
async fn an_upload_whose_connection_breaks_is_told_without_a_status() {
    let company = Company::start().await;
    let node = &company.node;
    let token = browser_token(&company, person("ann", [Scope::Share]));
    let request = format!(
        "PUT /objects?recipient={RECIPIENT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 100\r\n\r\nsome"
    );
    let mut socket = raw::connect(&node.external).await;
    socket.write_all(request.as_bytes()).await.unwrap();
    WatchedStore::until(&node.store.writers, |open| *open == 1).await;
    assert!(told(node).is_empty(), "it is under way");
    raw::reset(socket);
    let (topic, act) = eventually("the act is told", async || told(node).pop()).await;
    assert_eq!(topic, "person.acted");
    assert_eq!(
        (&act["subject"], &act["path"], &act["status"]),
        (&json!("ann"), &json!("/objects"), &Value::Null)
    );
}

#[actix_web::test]
async fn what_is_administered_with_a_key_has_its_id_and_name_among_the_events() {
    let node = start().await;
    let contact = json!({"address": RECIPIENT, "trust": "accept"});
    let request = node.internal(Method::PUT, "/contacts/acme").json(&contact);
    let made = Answer::of(request).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    let refused = Answer::of(node.internal(Method::DELETE, "/contacts/nobody")).await;
    assert_eq!(refused.status, 404);
    node.get_internal("/contacts/acme").await;
    let [act] = &acts_with_keys(&node)[..] else {
        panic!("{:?}", acts_with_keys(&node));
    };
    let keys = node.get_internal("/api_keys").await.body;
    let mut keys = keys["api_keys"].as_array().unwrap().iter();
    let key = keys.find(|key| key["name"] == "admin").unwrap();
    let expected = json!({
        "key_id": key["id"], "name": "admin", "method": "PUT", "route": "/contacts/{name}",
        "path": "/contacts/acme", "status": 201, "request_id": made.header("x-request-id"),
    });
    assert_eq!(act, &expected);
    assert!(told(&node).is_empty(), "no person has acted");
}

#[actix_web::test]
async fn what_programs_do_all_day_with_a_key_stays_out_of_the_events() {
    let node = start().await;
    let hash = node.put(b"hello".to_vec()).await;
    let shared = node
        .share(&json!({"data": "hello", "recipient": RECIPIENT}))
        .await;
    assert_eq!(shared.body["success"], true, "{:?}", shared.body);
    let grants = format!("/data/{hash}/grants");
    let grant = json!({"recipient": format!("0x{}", "cd".repeat(20))});
    let granted = Answer::of(node.external(Method::POST, &grants).json(&grant)).await;
    assert!(granted.status < 300, "{:?}", granted.body);
    assert_eq!(acts_with_keys(&node), Vec::<Value>::new());
}
