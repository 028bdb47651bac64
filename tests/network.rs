//! What was shared outlives the machines that hold it.

use reqwest::StatusCode;
use tempfile::{TempDir, tempdir};

use crate::support::{
    Devnet, FUNDED_KEYS, bytes,
    copies::{copies, have_copies, watchful},
    data_hash,
};

#[tokio::test]
async fn nothing_is_lost_when_holders_are_killed_and_replaced_by_empty_nodes() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes: Vec<TempDir> = FUNDED_KEYS.iter().map(|_| tempdir().unwrap()).collect();
    let home_of_the_last = tempdir().unwrap();
    let owner = watchful(&homes[0], &chain, FUNDED_KEYS[0]).start().await;
    // The recipient keeps nothing for others, nor what it reads.
    let recipient = watchful(&homes[1], &chain, FUNDED_KEYS[1])
        .env("DM_NETWORK__MAX_FOREIGN_BYTES", "1")
        .peer(&owner)
        .start()
        .await;
    let mut replicas = Vec::new();
    for (home, key) in homes.iter().zip(FUNDED_KEYS).skip(2).take(3) {
        replicas.push(watchful(home, &chain, key).peer(&owner).start().await);
    }
    owner.has_peers(4).await;

    let data: Vec<Vec<u8>> = (0..6)
        .map(|seed| bytes(40_000 + 100_000 * seed, seed as u64))
        .collect();
    let hashes: Vec<String> = data.iter().map(|data| data_hash(data)).collect();
    for data in &data {
        let (status, answer) = owner.put(data.clone(), recipient.address()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    have_copies(&replicas, &hashes, 2).await;
    let (_, shown) = owner.get(&format!("/network/objects/{}", hashes[0])).await;
    assert_eq!(shown["objects"][0]["own"], true, "{shown}");
    assert_eq!(shown["objects"][0]["wanted"], 2, "{shown}");

    // The owner is lost for good, and then one replica after the other.
    owner.kill().await;
    for (home, key) in [(&homes[5], FUNDED_KEYS[5]), (&home_of_the_last, FUNDED_KEYS[2])] {
        replicas.remove(0).kill().await;
        let empty = watchful(home, &chain, key).peer(&replicas[0]).start().await;
        replicas.push(empty);
        have_copies(&replicas, &hashes, 2).await;
    }
    for (hash, data) in hashes.iter().zip(&data) {
        assert!(recipient.reads(hash).await == *data, "{hash}");
    }
    assert_eq!(copies([&recipient], &hashes[0]).await, 0);
}
