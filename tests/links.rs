//! Links between nodes that are slow, lose packets, or are cut for a while.

use reqwest::StatusCode;
use tempfile::tempdir;

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, bytes,
    copies::{have_copies, watchful},
    data_hash, eventually,
    link::{Link, Quality},
};

/// A node that is reached by nobody, and reaches others over the link alone.
fn at_the_end_of(link: &Link, setup: NodeSetup) -> NodeSetup {
    setup.env("DM_NETWORK__LISTEN", "false").peer_at(link.address())
}

async fn put(node: &Node, data: &[u8], recipient: &str) -> String {
    let (status, answer) = node.put(data.to_vec(), recipient).await;
    assert!(
        status == StatusCode::CREATED || status == StatusCode::ACCEPTED,
        "{status} {answer}"
    );
    data_hash(data)
}

/// Shares across a link in both directions, with nodes that keep no copies:
/// whoever reads has to fetch.
async fn share_and_fetch(link_to: impl AsyncFn(&Node) -> Link) {
    let (chain_home, near_home, far_home) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let keeps_nothing = |setup: NodeSetup| setup.env("DM_NETWORK__MAX_FOREIGN_OBJECT", "1");
    let near = keeps_nothing(watchful(&near_home, &chain, FUNDED_KEYS[0]))
        .start()
        .await;
    let link = link_to(&near).await;
    let far = keeps_nothing(watchful(&far_home, &chain, FUNDED_KEYS[1]));
    let far = at_the_end_of(&link, far).start().await;
    near.has_peers(1).await;
    far.has_peers(1).await;
    for (from, to, seed) in [(&near, &far, 1), (&far, &near, 2)] {
        let data = bytes(1_500_000, seed);
        let hash = put(from, &data, to.address()).await;
        assert!(to.reads(&hash).await == data);
    }
}

#[tokio::test]
async fn shares_are_made_and_fetched_over_a_slow_link_that_loses_packets() {
    share_and_fetch(async |node| Link::tcp(node, Quality::POOR).await).await;
}

#[tokio::test]
async fn shares_are_made_and_fetched_over_quic_on_a_slow_link_that_loses_packets() {
    share_and_fetch(async |node| Link::quic(node, Quality::POOR).await).await;
}

#[tokio::test]
async fn a_cut_link_heals_and_the_owed_copies_arrive() {
    let (chain_home, near_home, far_home) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let near = watchful(&near_home, &chain, FUNDED_KEYS[0]).start().await;
    let link = Link::tcp(&near, Quality::PERFECT).await;
    let far = at_the_end_of(&link, watchful(&far_home, &chain, FUNDED_KEYS[1]))
        .start()
        .await;
    near.has_peers(1).await;
    far.has_peers(1).await;
    let before = put(&near, &bytes(50_000, 1), SOMEBODY).await;
    have_copies([&far], &[before], 1).await;

    link.cut();
    for node in [&near, &far] {
        eventually("the peer is missed", || async {
            let (_, stats) = node.get("/network/stats").await;
            (stats["active_peers"] == 0).then_some(())
        })
        .await;
    }
    let owed = [
        put(&near, &bytes(50_000, 2), SOMEBODY).await,
        put(&near, &bytes(50_000, 3), SOMEBODY).await,
    ];
    let owed_back = [put(&far, &bytes(50_000, 4), SOMEBODY).await];
    for hash in &owed {
        let (status, _) = far.get(&format!("/network/objects/{hash}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }

    link.heal();
    have_copies([&far], &owed, 1).await;
    have_copies([&near], &owed_back, 1).await;
}
