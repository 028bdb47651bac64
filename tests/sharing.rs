//! Sharing between nodes.

use reqwest::StatusCode;
use tempfile::tempdir;

use crate::support::{Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, bytes, data_hash};

/// Several nodes on one chain, each connected to the first.
async fn network<const N: usize>(chain: &Devnet, homes: &[tempfile::TempDir; N]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for (home, key) in homes.iter().zip(FUNDED_KEYS) {
        let mut setup = NodeSetup::new(home.path()).on_chain(&chain.url, key);
        if let Some(first) = nodes.first() {
            setup = setup.peer(first);
        }
        nodes.push(setup.start().await);
    }
    for node in &nodes[1..] {
        node.has_peers(1).await;
    }
    nodes
}

#[tokio::test]
async fn a_recipient_on_another_node_reads_what_was_shared_and_a_stranger_cannot() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let nodes = network(&chain, &homes).await;
    let [owner, recipient, stranger] = &nodes[..] else {
        unreachable!()
    };

    let (status, answer) = owner.share("for your eyes only", recipient.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["status"], "anchored");
    assert!(answer["tx_hash"].as_str().unwrap().starts_with("0x"));
    assert!(answer["replicas"].as_u64().unwrap() >= 1, "{answer}");
    let hash = answer["data_hash"].as_str().unwrap();
    assert_eq!(hash, data_hash(b"for your eyes only"));

    assert_eq!(recipient.reads(hash).await, b"for your eyes only");
    let (status, answer) = recipient.get(&format!("/data/{hash}")).await;
    assert_eq!(
        (status, &answer["data"]),
        (StatusCode::OK, &"for your eyes only".into())
    );

    let (status, answer) = stranger.get(&format!("/data/{hash}")).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    let (status, _) = stranger.object(hash).await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    // Every node that holds the object or can find it can verify the share.
    for node in &nodes {
        let answer = node.verifies(hash).await;
        assert_eq!(answer["event_type"], "data_share");
        assert!(answer.get("recipient").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn a_large_file_arrives_whole_and_in_parts() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let nodes = network(&chain, &homes).await;
    let data = bytes(5 * 1024 * 1024 + 12_345, 7);
    let (status, answer) = nodes[0].put(data.clone(), nodes[1].address()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let hash = answer["data_hash"].as_str().unwrap().to_owned();
    assert_eq!(hash, data_hash(&data));

    let part = nodes[1]
        .request(reqwest::Method::GET, &format!("/objects/{hash}"))
        .header("Range", "bytes=262000-524999")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["etag"].to_str().unwrap(), format!("\"{hash}\""));
    assert!(part.bytes().await.unwrap()[..] == data[262_000..=524_999]);
    assert!(nodes[1].reads(&hash).await == data);
}

#[tokio::test]
async fn the_data_outlives_the_node_that_shared_it() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let mut nodes = network(&chain, &homes).await;
    let recipient = nodes.remove(1);
    let data = bytes(700_000, 3);
    let (status, answer) = nodes[0].put(data.clone(), recipient.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let hash = answer["data_hash"].as_str().unwrap().to_owned();
    nodes[1].verifies(&hash).await;

    // The owner's machine is lost for good.
    nodes.remove(0).kill().await;
    assert!(recipient.reads(&hash).await == data);
    recipient.verifies(&hash).await;
}

#[tokio::test]
async fn a_share_made_before_the_recipient_existed_becomes_readable() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let (home, late_home) = (tempdir().unwrap(), tempdir().unwrap());
    let owner = NodeSetup::new(home.path())
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    // The address of the second funded account, whose node starts later.
    let (status, answer) = owner
        .share("see you soon", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
        .await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["grant"], "pending");
    let hash = answer["data_hash"].as_str().unwrap();

    let recipient = NodeSetup::new(late_home.path())
        .on_chain(&chain.url, FUNDED_KEYS[1])
        .peer(&owner)
        .start()
        .await;
    assert_eq!(recipient.reads(hash).await, b"see you soon");
}

#[tokio::test]
async fn a_share_without_peers_is_spread_when_one_appears() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let (home, other_home) = (tempdir().unwrap(), tempdir().unwrap());
    let owner = NodeSetup::new(home.path())
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    let other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let (status, answer) = owner.share("on my own", other).await;
    assert_eq!(
        (status, &answer["replicas"]),
        (StatusCode::CREATED, &0.into()),
        "{answer}"
    );
    let hash = answer["data_hash"].as_str().unwrap().to_owned();
    let reader = NodeSetup::new(other_home.path())
        .on_chain(&chain.url, FUNDED_KEYS[1])
        .peer(&owner)
        .start()
        .await;
    reader.verifies(&hash).await;
    // The copy is at the reader now: the owner is not needed any more.
    crate::support::eventually("the copy with the grant is counted", || async {
        let (_, answer) = owner.share("on my own", other).await;
        (answer["replicas"] == 1 && answer["grant"].is_null()).then_some(())
    })
    .await;
    owner.kill().await;
    assert_eq!(reader.reads(&hash).await, b"on my own");
}

#[tokio::test]
async fn the_same_share_again_is_the_same_share() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let (status, first) = node.share("once", SOMEBODY).await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    let (_, again) = node.share("once", SOMEBODY).await;
    assert_eq!(first["tx_hash"], again["tx_hash"]);
    let (_, by_stream) = node.put(b"once".to_vec(), SOMEBODY).await;
    assert_eq!(first["tx_hash"], by_stream["tx_hash"]);
    let (_, history) = node.get("/compliance_history?filters=data_share").await;
    assert_eq!(history["count"], 1, "{history}");

    let (status, other) = node.share("once", node.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{other}");
    let (_, history) = node.get("/compliance_history?filters=data_share").await;
    assert_eq!(history["count"], 2, "{history}");
}

#[tokio::test]
async fn the_peer_book_lasts_across_restarts() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let mut nodes = network(&chain, &homes).await;
    let first = nodes.remove(0);
    first.has_peers(1).await;
    let (_, before) = first.get("/network/peers").await;
    nodes.remove(0).kill().await;
    let first = first.restart().await;
    let (status, after) = first.get("/network/peers").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        before["peers"][0]["peer_id"], after["peers"][0]["peer_id"],
        "{after}"
    );
}
