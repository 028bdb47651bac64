//! A share that failed never comes alive: not for its recipient, not in the log, and
//! not as paid for or ordered.

use dm_core::secret::SecretString;
use dm_keys::UserSigningKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    support::{
        Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, bytes, data_hash, eventually,
        http::{Answer, answer},
    },
    users::{client, ed25519_user, run},
};

/// Too little for what the tests share.
const NO_ROOM: (&str, &str) = ("DM_STORAGE__MAX_OWN_BYTES", "3000");

async fn events(node: &Node, hash: &str) -> Vec<Value> {
    let (_, page) = node.get("/compliance_history?limit=100").await;
    let of_data = |event: &&Value| event["data_hash"] == *hash && event["event_type"] != "transfer";
    let events = page["history"].as_array().unwrap();
    events.iter().filter(of_data).cloned().collect()
}

async fn readers(node: &Node, hash: &str) -> Vec<String> {
    let (status, body) = node.get(&format!("/data/{hash}/grants")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_value(body["recipients"].clone()).unwrap()
}

/// Starts the node again without what was set for the first time alone.
async fn with_room(node: Node) -> Node {
    let (mut setup, status, errors) = node.stop().await;
    assert!(status.success(), "{errors}");
    setup.env.retain(|(name, _)| name != NO_ROOM.0);
    setup.start().await
}

#[tokio::test]
async fn a_share_that_found_no_room_is_nothing_when_its_data_is_shared_with_somebody_else() {
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let owner = NodeSetup::new(homes[0].path())
        .env(NO_ROOM.0, NO_ROOM.1)
        .start()
        .await;
    let refused = NodeSetup::new(homes[1].path()).peer(&owner).start().await;
    owner.has_peers(1).await;
    let data = bytes(6000, 31);
    let hash = data_hash(&data);
    let (status, full) = owner.put(data.clone(), refused.address()).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{full}");
    assert_eq!(events(&owner, &hash).await, [] as [Value; 0]);

    let owner = with_room(owner).await;
    let other = NodeSetup::new(homes[2].path()).peer(&owner).start().await;
    let refused = {
        // The owner has another port now.
        let mut setup = refused.stop().await.0;
        setup.args.clear();
        setup.peer(&owner).start().await
    };
    owner.has_peers(2).await;
    let (status, shared) = owner.put(data.clone(), other.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    assert!(other.reads(&hash).await == data);
    owner.verifies(&hash).await;
    let recorded = events(&owner, &hash).await;
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert_eq!(readers(&owner, &hash).await, [other.address()]);
    assert_eq!(refused.object(&hash).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_payment_for_a_share_that_found_no_room_is_given_back() {
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let devnet = Devnet::start(homes[0].path()).await;
    let setup = |n: usize| NodeSetup::new(homes[n + 1].path()).on_chain(&devnet.url, FUNDED_KEYS[n]);
    let seller = setup(0)
        .env(NO_ROOM.0, NO_ROOM.1)
        .env("DM_PAYMENTS__REFUND_AFTER_SECS", "1")
        // A payment is given back once it is final; nothing else makes blocks here.
        .env("DM_CHAIN__CONFIRMATIONS", "0")
        .start()
        .await;
    let buyer = setup(1).start().await;
    let token = buyer.issue(1000).await;
    seller.add_token(&token).await;
    buyer.allow(&token, seller.address(), 1000).await;
    let body = json!({
        "data": "x".repeat(6000), "recipient": buyer.address(),
        "payment_token": token, "payment_amount": 40,
    });
    let (status, full) = answer(seller.request(Method::POST, "/share_data").json(&body)).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{full}");
    eventually("the buyer has its money back", || async {
        (buyer.balance(buyer.address(), &token).await == 1000).then_some(())
    })
    .await;
    // With room the same request is paid for, once.
    let seller = with_room(seller).await;
    let (status, shared) = answer(seller.request(Method::POST, "/share_data").json(&body)).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    assert_eq!(buyer.balance(buyer.address(), &token).await, 960);
}

#[tokio::test]
async fn an_order_and_an_idempotency_key_are_good_again_when_their_share_found_no_room() {
    let (home, dir) = (tempdir().unwrap(), tempdir().unwrap());
    let node = NodeSetup::new(home.path())
        .env(NO_ROOM.0, NO_ROOM.1)
        .env("DM_AUTHORIZATION__REQUIRED", "true")
        .start()
        .await;
    let (private, _) = ed25519_user(&node, &dir, "alice").await;
    let order = order_of(&node, &dir, &private).await;
    let (status, full) = ordered(&node, &order).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{full}");
    let node = with_room(node).await;
    let (status, shared) = ordered(&node, &order).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    let (status, again) = ordered(&node, &order).await;
    assert_eq!(
        (status, &again["receipt"]),
        (StatusCode::CREATED, &shared["receipt"])
    );
}

/// What alice signs, as the body of a request.
async fn order_of(node: &Node, dir: &TempDir, private: &str) -> Value {
    let file = dir.path().join("data");
    let text = "y".repeat(6000);
    std::fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    let statement = ["statement", file, "--to", SOMEBODY, "--user", "alice"];
    let statement = run(&mut client(node, &statement)).await.unwrap();
    let key = SecretString::new(std::fs::read_to_string(private).unwrap());
    let signature = UserSigningKey::parse(&key).unwrap().sign(&statement).unwrap();
    json!({
        "data": text, "recipient": SOMEBODY,
        "user_id": "alice", "statement": statement, "signature": signature,
    })
}

async fn ordered(node: &Node, order: &Value) -> Answer {
    let request = node
        .request(Method::POST, "/share_data")
        .header("Idempotency-Key", "order-1");
    answer(request.json(order)).await
}
