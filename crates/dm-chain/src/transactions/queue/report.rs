//! How the account's transactions get on, for those who watch the node.

use std::time::Duration;

use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{
    Queue,
    item::{Item, Obstacle},
};

/// How the account's transactions get on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// The transaction that has waited longest for a block.
    pub(crate) oldest: Option<Stuck>,
    /// Transactions that wait for a block.
    pub(crate) pending: u64,
    /// For how long another chain is seen in the place of the known one.
    pub(crate) strange_for: Option<Duration>,
    /// For how long nothing could be begun, and why.
    pub(crate) refusing: Option<(Duration, ChainError)>,
    /// Why the chain could not be looked at.
    pub(crate) unreachable: Option<String>,
    /// Why the journal could not be written.
    pub(crate) journal: Option<String>,
}

/// A transaction that no block has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// Its nonce, once it has one.
    pub(crate) nonce: Option<u64>,
    /// For how long it has waited.
    pub(crate) waits_for: Duration,
    /// What the chain said last.
    pub(crate) obstacle: Option<Obstacle>,
    /// Why it is given up; then an empty transaction waits in its place.
    pub(crate) given_up: Option<String>,
}

impl Queue {
    /// How the account's transactions get on.
    pub(crate) fn report(&self, now: Instant) -> Report {
        let elapsed = |since: Instant| now.saturating_duration_since(since);
        // What nobody waits for may stay out of the blocks.
        let waiting: Vec<&Item> = self
            .ledger
            .items
            .all()
            .filter(|item| item.waits() && !item.is_orphan)
            .collect();
        let oldest = waiting.iter().min_by_key(|item| item.since);
        Report {
            pending: waiting.len() as u64,
            oldest: oldest.map(|item| stuck(item, elapsed(item.since))),
            strange_for: self.identity.strange_since().map(elapsed),
            refusing: self.assigner.refusing(now),
            unreachable: self.watch.failure().map(str::to_owned),
            journal: self.ledger.notes.failure().map(str::to_owned),
        }
    }
}

fn stuck(item: &Item, waits_for: Duration) -> Stuck {
    Stuck {
        nonce: (!item.versions.is_empty()).then_some(item.nonce),
        waits_for,
        obstacle: item.obstacle.clone(),
        given_up: item.refused.as_ref().map(|refused| refused.reason.clone()),
    }
}
