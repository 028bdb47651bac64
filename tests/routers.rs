//! Organisations behind routers, in a network of their own.

use reqwest::StatusCode;
use tempfile::{TempDir, tempdir};

use crate::support::{Devnet, FUNDED_KEYS, NodeSetup};

/// A node of a network that has a key.
fn member(home: &TempDir, chain: &Devnet, key: &str, swarm_key: &str) -> NodeSetup {
    NodeSetup::new(home.path())
        .on_chain(&chain.url, key)
        .env("DM_NETWORK__SWARM_KEY_FILE", swarm_key)
        .env("DM_NETWORK__PEER_EXCHANGE_INTERVAL_SECS", "1")
}

/// A node that opens no port and is reached through a relay.
fn behind(setup: NodeSetup, relay: &str) -> NodeSetup {
    setup
        .env("DM_NETWORK__LISTEN", "false")
        .env("DM_NETWORK__RELAYS", relay)
}

#[tokio::test]
async fn two_nodes_that_open_no_port_share_through_a_relay_that_keeps_nothing() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let swarm_key = chain_home.path().join("swarm.key");
    let text = format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", "5a".repeat(32));
    std::fs::write(&swarm_key, text).unwrap();
    let swarm_key = swarm_key.to_str().unwrap();

    let relay = member(&homes[0], &chain, FUNDED_KEYS[0], swarm_key)
        .env("DM_NETWORK__RELAY_SERVER", "true")
        .env("DM_NETWORK__BOOTSTRAP_ONLY", "true")
        .start()
        .await;
    let address = relay.started.p2p[0].clone();
    let owner = member(&homes[1], &chain, FUNDED_KEYS[1], swarm_key);
    let owner = behind(owner, &address).start().await;
    let recipient = member(&homes[2], &chain, FUNDED_KEYS[2], swarm_key);
    let recipient = behind(recipient, &address).start().await;
    // The relay, and each other.
    owner.has_peers(2).await;
    recipient.has_peers(2).await;

    let (status, answer) = owner.share("through the wall", recipient.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let hash = answer["data_hash"].as_str().unwrap();
    assert_eq!(recipient.reads(hash).await, b"through the wall");

    let (status, answer) = relay.share("kept nowhere", recipient.address()).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{answer}");
}
