//! What honest nodes do, and how it is counted.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dm_core::{
    bus::EventBus,
    envelope::ObjectId,
    ports::{Challenged, NetworkStatus, ObjectExchange, Replication, Signer},
    tasks::Supervisor,
};
use dm_p2p::{Identity, P2p, P2pConfig, P2pDeps};
use dm_testing::{
    catalog::MemoryCatalog,
    objects::{MemoryObjectStore, SampleObject},
    signer::TestSigner,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

/// The account of the node that is attacked; its peers have those after it.
pub(crate) const NODE: u8 = 1;
/// Objects of the node that its peers read.
pub(crate) const CORPUS: u64 = 64;
const CORPUS_SIZE: u64 = 64 * 1024;
const SHARE_SIZE: u64 = 4 * 1024;
/// Copies of what is shared.
const COPIES: usize = 3;
/// Between two shares of one node.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

pub(crate) async fn start_node(
    account: u8,
    store: &MemoryObjectStore,
    initial_peers: Vec<String>,
    tasks: &Supervisor,
) -> Arc<P2p> {
    let mut config = P2pConfig::new(Identity::generate(), TestSigner::new(account).address());
    config.network.host = IpAddr::from([127, 0, 0, 1]);
    config.initial_peers = initial_peers;
    let deps = P2pDeps::new(
        Arc::new(store.clone()),
        Arc::new(MemoryCatalog::new()),
        EventBus::new(),
    );
    P2p::start(config, deps, tasks).await.unwrap()
}

pub(crate) fn tcp_address(node: &P2p) -> String {
    let addresses = node.listen_addresses();
    addresses
        .into_iter()
        .find(|address| address.contains("/tcp/"))
        .unwrap()
}

pub(crate) fn corpus_object(number: u64) -> SampleObject {
    SampleObject::new(NODE, number, CORPUS_SIZE)
}

pub(crate) async fn store_corpus(store: &MemoryObjectStore) {
    for number in 0..CORPUS {
        corpus_object(number).store_in(store).await.unwrap();
    }
}

/// Resident memory of this process in MiB.
pub(crate) fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// The lines of the input, read by a thread of their own.
pub(crate) fn input() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            sender.send(line).unwrap();
        }
    });
    lines
}

/// What was done since it was last asked.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) shares: u64,
    pub(crate) failed: u64,
}

impl Counts {
    pub(crate) fn read() -> Self {
        Self {
            reads: 1,
            ..Self::default()
        }
    }

    fn share() -> Self {
        Self {
            shares: 1,
            ..Self::default()
        }
    }

    pub(crate) fn failure() -> Self {
        Self {
            failed: 1,
            ..Self::default()
        }
    }

    /// Reads what [`Counts::line`] wrote.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line
            .strip_prefix("done ")?
            .split(' ')
            .map(|word| word.parse().unwrap());
        Some(Self {
            reads: words.next()?,
            shares: words.next()?,
            failed: words.next()?,
        })
    }

    pub(crate) fn line(&self) -> String {
        format!("done {} {} {}", self.reads, self.shares, self.failed)
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.reads += more.reads;
        self.shares += more.shares;
        self.failed += more.failed;
    }
}

/// How many copies there are, and how many of them their holders can prove.
#[derive(Default)]
pub(crate) struct Proven {
    pub(crate) proven: u64,
    pub(crate) copies: u64,
}

impl Proven {
    /// Reads what [`Proven::line`] wrote.
    pub(crate) fn parse(line: &str) -> Self {
        let mut words = line.split(' ').map(|word| word.parse().unwrap());
        Self {
            proven: words.next().unwrap(),
            copies: words.next().unwrap(),
        }
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.proven, self.copies)
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.proven += more.proven;
        self.copies += more.copies;
    }
}

/// An object, and the peers that took it.
type Held = (ObjectId, Vec<String>);

/// A node that shares small objects, and has their copies proven.
#[derive(Clone)]
pub(crate) struct Sharer {
    account: u8,
    node: Arc<P2p>,
    store: MemoryObjectStore,
    next: Arc<AtomicU64>,
    held: Arc<Mutex<Vec<Held>>>,
}

impl Sharer {
    pub(crate) fn new(account: u8, node: Arc<P2p>, store: MemoryObjectStore) -> Self {
        Self {
            account,
            node,
            store,
            // Seeds that nobody else uses.
            next: Arc::new(AtomicU64::new(u64::from(account) << 32)),
            held: Arc::default(),
        }
    }

    /// Shares for as long as it is not aborted.
    pub(crate) async fn run(self, counts: Arc<Mutex<Counts>>) {
        loop {
            let done = if self.share(COPIES).await {
                Counts::share()
            } else {
                Counts::failure()
            };
            counts.lock().unwrap().add(&done);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether as many peers took a new object.
    pub(crate) async fn share(&self, copies: usize) -> bool {
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        let object = SampleObject::new(self.account, seed, SHARE_SIZE);
        object.store_in(&self.store).await.unwrap();
        let report = self.node.push(&object.id(), copies).await.unwrap();
        let complete = report.holders.len() >= copies;
        self.held.lock().unwrap().push((object.id(), report.holders));
        complete
    }

    /// Challenges the holders of everything that was shared.
    pub(crate) async fn prove(&self) -> Proven {
        let held = self.held.lock().unwrap().clone();
        let mut proven = Proven::default();
        for (object, holders) in &held {
            for holder in holders {
                let answer = self.node.challenge(holder, object, &[]).await.unwrap();
                proven.copies += 1;
                proven.proven += u64::from(answer == Challenged::Proven);
            }
        }
        proven
    }
}
