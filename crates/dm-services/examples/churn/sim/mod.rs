//! A network of nodes that come and go, with the real decisions about copies
//! and everything else modelled: time, messages, transfers, the DHT.

mod clock;
mod dht;
mod measure;
mod node;
mod random;
mod world;

pub(crate) use self::{
    dht::hops,
    measure::{Outcome, Sample},
    random::Random,
    world::World,
};

use dm_core::ports::StoreError;
use dm_services::repairer::plan::RepairConfig;
use futures::FutureExt;

/// Milliseconds.
pub(crate) const SECOND: u64 = 1000;
/// Milliseconds.
pub(crate) const MINUTE: u64 = 60 * SECOND;
/// Milliseconds.
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// Milliseconds.
pub(crate) const DAY: u64 = 24 * HOUR;

/// How a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// Takes copies, keeps none, and does not answer challenges.
    Withholds,
    /// Takes copies, keeps none, says that it has them, and proves it with other bytes.
    Lies,
    /// Keeps copies, and tells others of holders that are none.
    Misleads,
}

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// Nodes, at home or away; who never returns is replaced by an empty one.
    pub(crate) nodes: usize,
    /// Objects; each is shared in the first day by an owner of its own, who
    /// leaves for good an hour later.
    pub(crate) objects: usize,
    /// Part of the nodes that leaves in an hour.
    pub(crate) leaving: f64,
    /// Part of those that leave which never returns.
    pub(crate) lost: f64,
    /// Part of the nodes that are malicious, in equal parts of each [`Conduct`] but the first.
    pub(crate) malicious: f64,
    /// Longest absence of those that return.
    pub(crate) longest_absence: u64,
    /// Simulated time.
    pub(crate) duration: u64,
    /// How repair is done.
    pub(crate) config: RepairConfig,
    /// Bytes of an object.
    pub(crate) object_bytes: u64,
    /// Bytes that one transfer moves in a second.
    pub(crate) bytes_per_second: u64,
    /// Decides everything that is left to chance.
    pub(crate) seed: u64,
}

impl Scenario {
    /// The churn of the promise: in each hour a tenth leaves, nine in ten of
    /// these return with their disks within a day, one in ten never.
    pub(crate) fn promised(nodes: usize) -> Self {
        Self {
            nodes,
            objects: nodes,
            leaving: 0.1,
            lost: 0.1,
            malicious: 0.0,
            longest_absence: DAY,
            duration: 7 * DAY,
            config: RepairConfig::default(),
            object_bytes: 4 << 20,
            bytes_per_second: 2 << 20,
            seed: 1,
        }
    }

    /// Enemies among them: in each hour one in a hundred leaves for good, and one in a
    /// hundred is malicious.
    pub(crate) fn attacked(nodes: usize) -> Self {
        Self {
            leaving: 0.01,
            lost: 1.0,
            malicious: 0.01,
            ..Self::promised(nodes)
        }
    }

    /// Runs it.
    pub(crate) fn run(self) -> Outcome {
        World::new(self).run()
    }
}

/// What a plan answers: its store is in memory and never has it wait.
#[allow(clippy::expect_used, reason = "a simulation that cannot go on ends")]
fn at_once<T>(answer: impl Future<Output = Result<T, StoreError>>) -> T {
    let answer = answer.now_or_never().expect("a store in memory answers at once");
    answer.expect("a store in memory does not fail")
}
