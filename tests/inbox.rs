//! The inbox: what is shared with a node stands in it, by itself.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, copies::have_copies, data_hash, eventually, node::dm_node,
};

pub(crate) async fn share_named(owner: &Node, data: &str, recipient: &str, name: &str) {
    let body = serde_json::json!({
        "data": data, "recipient": recipient, "name": name, "labels": {"stage": "final"},
    });
    let response = owner
        .request(Method::POST, "/share_data")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert!(response.status().is_success(), "{:?}", response.text().await);
}

/// The items that a query finds, once there are so many.
pub(crate) async fn listed(node: &Node, query: &str, count: usize) -> Vec<Value> {
    eventually("the items are listed", async || {
        let (status, answer) = node.get(&format!("/inbox?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let items = answer["items"].as_array().unwrap().clone();
        (items.len() == count).then_some(items)
    })
    .await
}

async fn run(node: &Node, args: &[&str]) -> String {
    let output = dm_node()
        .args(args)
        .args(["--api", &node.started.external_api])
        .env("DM_API_KEY", &node.started.api_key)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn start(chain: &Devnet, homes: &[TempDir], settings: &[&str]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for ((home, key), accept) in homes.iter().zip(FUNDED_KEYS).zip(settings) {
        let mut setup = NodeSetup::new(home.path())
            .on_chain(&chain.url, key)
            .env("DM_INBOX__ACCEPT", accept);
        if let Some(first) = nodes.first() {
            setup = setup.peer(first);
        }
        nodes.push(setup.start().await);
    }
    nodes[0].has_peers(homes.len() as u64 - 1).await;
    nodes
}

#[tokio::test]
async fn a_share_stands_in_the_inbox_of_its_recipient_by_itself_and_is_fetched_by_its_name() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let mut nodes = start(&chain, &homes, &["anchored", "anchored"]).await;
    let (reader, owner) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    share_named(&owner, "what is in it", reader.address(), "zebrastreifen.txt").await;
    let hash = data_hash(b"what is in it");

    let items = listed(&reader, "name=zebrastreifen.txt&label.stage=final&state=new", 1).await;
    assert_eq!(items[0]["data_hash"], hash);
    assert_eq!(items[0]["from"], owner.address());
    assert_eq!(
        items[0]["anchored"], true,
        "a stranger is listed once its share is on the chain"
    );
    assert_eq!(listed(&owner, "", 0).await, Vec::<Value>::new());

    assert!(run(&reader, &["inbox"]).await.contains("zebrastreifen.txt"));
    assert_eq!(run(&reader, &["get", "zebrastreifen.txt"]).await, "what is in it");
    listed(&reader, "state=acknowledged", 1).await;

    let reader = reader.restart().await;
    let route = format!("/inbox/{hash}");
    let (status, item) = reader.get(&route).await;
    assert_eq!(
        (status, &item["state"]),
        (StatusCode::OK, &Value::from("acknowledged"))
    );
    let removed = reader.request(Method::DELETE, &route).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let reader = reader.restart().await;
    assert_eq!(reader.get(&route).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_its_sender_erases_or_withdraws_shows_so_in_the_inbox() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let mut nodes = start(&chain, &homes, &["anyone", "anyone"]).await;
    let (reader, owner) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    for (data, name) in [("one", "one.txt"), ("two", "two.txt")] {
        share_named(&owner, data, reader.address(), name).await;
    }
    listed(&reader, "", 2).await;
    let erased = owner
        .request(Method::DELETE, &format!("/data/{}", data_hash(b"one")))
        .send()
        .await
        .unwrap();
    assert!(erased.status().is_success());
    let items = listed(&reader, "state=erased", 1).await;
    assert_eq!(items[0]["name"], "one.txt");
    let revoked = owner
        .request(Method::DELETE, &format!("/data/{}/grants", data_hash(b"two")))
        .json(&serde_json::json!({"recipient": reader.address()}))
        .send()
        .await
        .unwrap();
    assert!(revoked.status().is_success());
    let items = listed(&reader, "state=revoked", 1).await;
    assert_eq!(items[0]["name"], "two.txt");
}

#[tokio::test]
async fn who_gets_into_the_inbox_is_a_setting() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let nodes = start(&chain, &homes, &["anyone", "anyone", "contacts"]).await;
    let [owner, open, strict] = &nodes[..] else {
        panic!("three nodes")
    };
    share_named(owner, "for the strict one", strict.address(), "a.txt").await;
    share_named(owner, "for the open one", open.address(), "b.txt").await;
    let hash = data_hash(b"for the strict one");
    have_copies([strict], std::slice::from_ref(&hash), 1).await;
    listed(open, "", 1).await;
    assert_eq!(strict.reads(&hash).await, b"for the strict one");
    assert_eq!(listed(strict, "", 0).await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_the_operator_wants_at_once_is_fetched_by_itself_and_nothing_else() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let (home, other_home) = (tempdir().unwrap(), tempdir().unwrap());
    let owner = NodeSetup::new(home.path())
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    let reader = NodeSetup::new(other_home.path())
        .on_chain(&chain.url, FUNDED_KEYS[1])
        .env("DM_INBOX__ACKNOWLEDGE", "never")
        .env("DM_INBOX__FETCH__FROM", "contacts,nobody-else")
        .env("DM_INBOX__FETCH__MAX_BYTES", "20")
        .env("DM_INBOX__FETCH__LABELS", "stage=final,stage=signed")
        .peer(&owner)
        .start()
        .await;
    owner.has_peers(1).await;
    let contact = serde_json::json!({"address": owner.address(), "trust": "accept"});
    let added = reader
        .internal(Method::PUT, "/contacts/acme")
        .json(&contact)
        .send()
        .await
        .unwrap();
    assert!(added.status().is_success(), "{:?}", added.text().await);
    share_named(&owner, "more than twenty bytes", reader.address(), "large.txt").await;
    listed(&reader, "name=large.txt&state=new", 1).await;
    share_named(&owner, "small", reader.address(), "small.txt").await;
    listed(&reader, "name=small.txt&state=fetched", 1).await;
    let body = serde_json::json!({"data": "no label", "recipient": reader.address(), "name": "bare.txt"});
    let shared = owner
        .request(Method::POST, "/share_data")
        .json(&body)
        .send()
        .await;
    assert!(shared.unwrap().status().is_success());
    listed(&reader, "name=bare.txt", 1).await;
    share_named(&owner, "also small", reader.address(), "later.txt").await;
    listed(&reader, "name=later.txt&state=fetched", 1).await;
    listed(&reader, "state=new", 2).await;

    // It is here also when its sender is not.
    let reader = reader.restart().await;
    drop(owner);
    assert_eq!(reader.reads(&data_hash(b"small")).await, b"small");
    let (_, events) = reader.get("/events?topics=data.fetched").await;
    assert_eq!(events["events"].as_array().unwrap().len(), 2, "{events}");
}

#[tokio::test]
async fn a_recipient_that_keeps_no_copy_learns_of_the_anchor_and_of_the_end_of_a_share() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [(); 3].map(|()| tempdir().unwrap());
    let owner = NodeSetup::new(homes[0].path()).on_chain(&chain.url, FUNDED_KEYS[0]);
    let owner = owner.start().await;
    let keeper = NodeSetup::new(homes[1].path()).on_chain(&chain.url, FUNDED_KEYS[1]);
    let keeper = keeper.peer(&owner).start().await;
    let reader = NodeSetup::new(homes[2].path())
        .on_chain(&chain.url, FUNDED_KEYS[2])
        .peer(&owner)
        .env("DM_NETWORK__MAX_FOREIGN_OBJECT", "1");
    let reader = reader.start().await;
    owner.has_peers(2).await;
    // The owner learns the key of the reader, and the contract is deployed.
    owner.must_share("first", reader.address()).await;
    listed(&reader, "", 1).await;
    let chain = chain.unplug().await;
    let (_, shared) = owner.share("second", reader.address()).await;
    let hash = shared["data_hash"].as_str().unwrap();
    eventually("the reader is told of the share", async || {
        let (_, shares) = owner.get(&format!("/shares/{hash}")).await;
        shares["shares"][0]["notified_at"].as_u64()
    })
    .await;
    assert_eq!(listed(&reader, "", 1).await[0]["data_hash"], data_hash(b"first"));
    let _chain = chain.plug_in().await;
    let items = listed(&reader, "", 2).await;
    assert_eq!(
        (&items[0]["data_hash"], &items[0]["anchored"]),
        (&shared["data_hash"], &Value::Bool(true))
    );

    let revoke = owner
        .request(Method::DELETE, &format!("/data/{hash}/grants"))
        .json(&serde_json::json!({"recipient": reader.address()}));
    assert!(revoke.send().await.unwrap().status().is_success());
    listed(&reader, "state=revoked", 1).await;
    let erase = owner.request(Method::DELETE, &format!("/data/{}", data_hash(b"first")));
    assert!(erase.send().await.unwrap().status().is_success());
    listed(&reader, "state=erased", 1).await;
    drop(keeper);
}
