//! Objects outlive the machines that hold them, however many of these go.
//!
//! By default small; the whole size by the environment, see
//! `docs/contributing.md`:
//!
//! - `CHURN_NODES`: nodes that keep copies
//! - `CHURN_OBJECTS`: objects
//! - `CHURN_ROUNDS`: rounds, in each of which two nodes are replaced
//! - `CHURN_INTERVAL_SECS`: seconds between two rounds; by default a round
//!   begins when all copies have been made again

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use futures::future::join_all;
use reqwest::StatusCode;
use tempfile::{TempDir, tempdir};

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, bytes,
    copies::{copies, have_copies, watchful},
    data_hash, setting,
};

const FACTOR: usize = 3;
/// Objects of which the copies are counted.
const SAMPLE: usize = 25;

/// The nodes that keep copies, the longest there first.
struct Crowd<'a> {
    chain: &'a Devnet,
    nodes: VecDeque<Node>,
    homes: Vec<TempDir>,
}

impl Crowd<'_> {
    /// A node with an empty disk and an account that owns nothing.
    async fn add(&mut self, known: &[String]) {
        let home = tempdir().unwrap();
        let key = format!("{:064x}", 1_000_000 + self.homes.len());
        let mut setup = with_factor(watchful(&home, self.chain, &key));
        for address in known {
            setup = setup.peer_at(address);
        }
        self.nodes.push_back(setup.start().await);
        self.homes.push(home);
    }

    /// Addresses of some of the nodes.
    fn addresses(&self) -> Vec<String> {
        let newest = self.nodes.iter().rev().take(3);
        newest.map(|node| node.started.p2p[0].clone()).collect()
    }

    /// Kills the two that have been there for the longest time, for good.
    async fn replace_two(&mut self) {
        let killed = self.nodes.drain(..2).map(Node::kill);
        join_all(killed).await;
        for _ in 0..2 {
            let known = self.addresses();
            self.add(&known).await;
        }
    }

    /// Kills half of the nodes at once; they come back with their disks.
    async fn cut_half_off(&mut self) {
        let half = self.nodes.len() / 2;
        let setups = join_all(self.nodes.drain(..half).map(Node::kill)).await;
        // Nobody knows their new ports, and those that they were told of at
        // first may be gone.
        let known = self.nodes.back().expect("half of them are left").started.p2p[0].clone();
        let starting = setups.into_iter().map(|setup| setup.peer_at(&known).start());
        let back = join_all(starting).await;
        self.nodes.extend(back);
    }
}

fn with_factor(setup: NodeSetup) -> NodeSetup {
    setup.env("DM_NETWORK__REPLICATION_FACTOR", &FACTOR.to_string())
}

#[tokio::test]
#[ignore = "takes minutes and many processes at once: .ci/run runs it by itself"]
async fn nothing_is_lost_while_nodes_are_replaced_and_half_of_them_fail_at_once() {
    let count = setting("CHURN_NODES", 5);
    let objects = setting("CHURN_OBJECTS", 20);
    let rounds = setting("CHURN_ROUNDS", 2);
    let interval = setting("CHURN_INTERVAL_SECS", 0);

    let (chain_home, owner_home, reader_home) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let owner = with_factor(watchful(&owner_home, &chain, FUNDED_KEYS[0]));
    let owner = owner.start().await;
    let first = vec![owner.started.p2p[0].clone()];
    let mut crowd = Crowd {
        chain: &chain,
        nodes: VecDeque::new(),
        homes: Vec::new(),
    };
    for _ in 0..count {
        crowd.add(&first).await;
    }
    // Reads in the end, and keeps nothing before.
    let mut reader = with_factor(watchful(&reader_home, &chain, FUNDED_KEYS[1]))
        .env("DM_NETWORK__MAX_FOREIGN_OBJECT", "1");
    for address in first.iter().chain(&crowd.addresses()) {
        reader = reader.peer_at(address);
    }
    let reader = reader.start().await;
    owner.has_peers(count + 1).await;

    let data: Vec<Vec<u8>> = (0..objects)
        .map(|seed| bytes(20_000 + 1000 * seed as usize, seed))
        .collect();
    let hashes: Vec<String> = data.iter().map(|data| data_hash(data)).collect();
    for data in &data {
        let (status, answer) = owner.put(data.clone(), reader.address()).await;
        assert!(
            status == StatusCode::CREATED || status == StatusCode::ACCEPTED,
            "{answer}"
        );
    }
    have_copies(&crowd.nodes, &hashes, FACTOR).await;
    owner.kill().await;

    for round in 0..rounds {
        let begun = Instant::now();
        crowd.replace_two().await;
        if round == rounds / 2 {
            crowd.cut_half_off().await;
        }
        if interval == 0 {
            have_copies(&crowd.nodes, &hashes, FACTOR).await;
        } else {
            tokio::time::sleep(Duration::from_secs(interval).saturating_sub(begun.elapsed())).await;
        }
        tell_copies(round, &crowd, &hashes).await;
    }
    let begun = Instant::now();
    for (hash, data) in hashes.iter().zip(&data) {
        assert!(reader.reads(hash).await == *data, "{hash} is lost");
    }
    println!("{objects} objects read in {:.1} s", begun.elapsed().as_secs_f64());
}

/// Prints how many copies some of the objects have, for whoever reads along.
async fn tell_copies(round: u64, crowd: &Crowd<'_>, hashes: &[String]) {
    let mut found = Vec::new();
    for hash in hashes.iter().step_by(hashes.len().div_ceil(SAMPLE)) {
        found.push(copies(&crowd.nodes, hash).await);
    }
    let mean = found.iter().sum::<usize>() as f64 / found.len() as f64;
    let fewest = found.iter().min().expect("there are objects");
    println!("round {round}: {fewest} copies at least, {mean:.2} on average");
}
