//! One node with ten honest peers, and 64 attackers with 1,000 identities that
//! come from the same address. It prints what the attack leaves of the honest
//! reads and shares, what memory the node takes, and whether all objects can be
//! proven afterwards.
//!
//! ```sh
//! cargo run --release -p dm-p2p --example attackers -- 10
//! ```
//!
//! The argument is the number of minutes. The node, its honest peers and the
//! attackers are three processes. The attackers have the lowest priority for the
//! processors, because real ones bring their own.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod attack;
mod honest;
mod load;
#[path = "../../tests/common/script.rs"]
#[allow(dead_code, unreachable_pub, reason = "the attackers use a part of it")]
mod script;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use dm_core::{ports::NetworkStatus, tasks::Supervisor};
use dm_testing::objects::MemoryObjectStore;

use load::{Counts, Proven, Sharer};

/// Seconds that the load runs before it is measured.
const WARM_UP: u64 = 5;
/// Seconds without attackers that their effect is compared with.
const QUIET: u64 = 60;
/// Part of the rate that has to be left.
const WANTED_RATE: f64 = 0.8;
/// MiB that the node may take.
const MAX_MEMORY: u64 = 300;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = load::runtime();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["attack", node] => runtime.block_on(attack::run(node)),
        ["honest", node] => runtime.block_on(honest::run(node)),
        [] => runtime.block_on(measure(2)),
        [minutes] => runtime.block_on(measure(minutes.parse().expect("a number of minutes"))),
        _ => panic!("usage: attackers [MINUTES]"),
    }
}

/// Another part of this program, in a process of its own.
struct Part(Child);

impl Part {
    fn start(command: &str, before: &[&str], node: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut words: Vec<&str> = before.to_vec();
        words.extend([program.to_str().unwrap(), command, node]);
        let child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Has it end, and waits for that.
    fn finish(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

async fn measure(minutes: u64) {
    let (store, tasks) = (MemoryObjectStore::new(), Supervisor::new());
    let node = load::start_node(load::NODE, &store, Vec::new(), &tasks).await;
    load::store_corpus(&store).await;
    let address = load::tcp_address(&node);
    let mut peers = Part::start("honest", &[], &address);
    let (counts, said) = (
        Arc::new(Mutex::new(Counts::default())),
        std::sync::mpsc::channel(),
    );
    let output = BufReader::new(peers.0.stdout.take().unwrap());
    let heard = counts.clone();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            match Counts::parse(&line) {
                Some(more) => heard.lock().unwrap().add(&more),
                None => said.0.send(line).unwrap(),
            }
        }
    });
    while node.stats().active_peers < honest::PEERS as u64 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sharer = Sharer::new(load::NODE, node.clone(), store);
    let shares = tokio::spawn(sharer.clone().run(counts.clone()));
    tokio::time::sleep(Duration::from_secs(WARM_UP)).await;

    let before = rates("before", &counts, QUIET.min(minutes * 60)).await;
    let attackers = Part::start("attack", &["nice", "-n", "19"], &address);
    let during = rates("during", &counts, minutes * 60).await;
    let ratio = |now: f64, before: f64| now / before;
    let (reads, shared) = (
        ratio(during.reads, before.reads),
        ratio(during.shares, before.shares),
    );
    println!(
        "reads {:.1} %, shares {:.1} % of the rate before",
        reads * 100.0,
        shared * 100.0
    );
    println!("memory of the node: at most {} MiB", during.memory);
    println!("connected peers: {}", node.stats().active_peers);

    // While the attack goes on.
    shares.abort();
    let own = sharer.prove().await;
    writeln!(peers.0.stdin.as_mut().unwrap(), "prove").unwrap();
    let foreign = Proven::parse(&said.1.recv().unwrap());
    for (whose, found) in [("the node", &own), ("its peers", &foreign)] {
        println!(
            "copies of what {whose} shared: {} of {} proven",
            found.proven, found.copies
        );
    }
    attackers.finish();
    peers.finish();
    tasks.shut_down(Duration::from_secs(5)).await;
    let lost = own.copies + foreign.copies - own.proven - foreign.proven;
    let holds = reads >= WANTED_RATE && shared >= WANTED_RATE && during.memory <= MAX_MEMORY;
    assert!(holds && lost == 0, "the attack succeeded");
}

/// What was done in a second, and the most memory in MiB.
struct Rates {
    reads: f64,
    shares: f64,
    memory: u64,
}

async fn rates(name: &str, counts: &Mutex<Counts>, seconds: u64) -> Rates {
    *counts.lock().unwrap() = Counts::default();
    let (mut memory, mut before) = (0, (0, 0));
    for second in 1..=seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory = memory.max(load::resident_mib());
        if second % 60 == 0 {
            let now = {
                let counts = counts.lock().unwrap();
                (counts.reads, counts.shares)
            };
            println!(
                "{name}, minute {}: {:.1} reads/s, {:.1} shares/s",
                second / 60,
                (now.0 - before.0) as f64 / 60.0,
                (now.1 - before.1) as f64 / 60.0,
            );
            before = now;
        }
    }
    let done = std::mem::take(&mut *counts.lock().unwrap());
    let per_second = |count: u64| count as f64 / seconds as f64;
    let rates = Rates {
        reads: per_second(done.reads),
        shares: per_second(done.shares),
        memory,
    };
    println!(
        "{name}: {:.1} reads/s, {:.1} shares/s, {} failed, {memory} MiB",
        rates.reads, rates.shares, done.failed,
    );
    rates
}
