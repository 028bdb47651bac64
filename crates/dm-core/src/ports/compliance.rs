use std::{collections::BTreeMap, time::Duration};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;

use super::{CatalogError, ChainError, EventFilter};
use crate::{
    event::{Event, NewEvent},
    hash::DataHash,
    receipt::{Anchor, Receipt, Verification},
};

/// An event that the log has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its position in the log.
    pub index: u64,
    /// The event.
    pub event: Event,
}

/// Which part of the history is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which events.
    pub filter: EventFilter,
    /// Events before this position; `None` begins with the newest.
    pub before: Option<u64>,
    /// At most this many.
    pub limit: usize,
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Position in the log.
    pub index: u64,
    /// The fact.
    pub event: Event,
    /// The transaction that anchored it, once there is one.
    pub tx_hash: Option<B256>,
}

/// A page of the history, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The lines.
    pub entries: Vec<HistoryEntry>,
    /// Where to go on: pass it as `before`.
    pub next: Option<u64>,
}

/// The node's transparency log: append-only, anchored on the chain.
#[async_trait]
pub trait ComplianceLog: Send + Sync {
    /// Records a fact; durable when it returns, anchored soon after.
    ///
    /// # Errors
    /// [`ComplianceError::Forked`] where the chain holds another history of
    /// this log, and [`ComplianceError::Chain`] while it seems to: then nothing
    /// is recorded.
    async fn record(&self, event: NewEvent) -> Result<Recorded, ComplianceError>;

    /// The anchor of the event at `index`, waiting for it no longer than
    /// `patience`; `None` where there is none by then, and at once while the
    /// chain is known to be away.
    async fn wait_for_anchor(
        &self,
        index: u64,
        patience: Duration,
    ) -> Result<Option<Anchor>, ComplianceError>;

    /// The newest event of this log that matches.
    async fn find(&self, filter: &EventFilter) -> Result<Option<Recorded>, ComplianceError>;

    /// The receipt of the event at `index`; `None` while it is not anchored.
    async fn receipt(&self, index: u64) -> Result<Option<Receipt>, ComplianceError>;

    /// Checks a receipt of any log: its form and proof offline, then the chain
    /// in one read.
    async fn verify(&self, receipt: &Receipt) -> Result<Verification, ComplianceError>;

    /// Pages through this node's log.
    async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, ComplianceError>;

    /// The anchors of the events at these positions, of those that are anchored.
    async fn anchors_of(&self, indexes: &[u64]) -> Result<BTreeMap<u64, Anchor>, ComplianceError>;

    /// Number of events that are anchored.
    async fn anchored_size(&self) -> Result<u64, ComplianceError>;

    /// The account whose log this is.
    fn log_address(&self) -> Address;

    /// What is wrong with the log, if anything: it is shown in the node's
    /// health, and nothing is recorded until an operator acts, or the chain
    /// agrees with the log again.
    fn fault(&self) -> Option<String>;
}

/// Why the log did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ComplianceError {
    /// The chain holds another history of this log than the local one.
    #[error("the compliance log has forked: {0}")]
    Forked(String),
    /// Too many events wait; try again soon.
    #[error("too many events wait to be recorded")]
    Overloaded,
    /// There is no event at this position.
    #[error("the log has no event {0}")]
    NoEvent(u64),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopped,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The log's own data is damaged.
    #[error("the compliance log is damaged: {0}")]
    Corrupt(String),
}

impl EventFilter {
    /// Shares of this data, and grants.
    pub fn shares_of(data_hash: DataHash) -> Self {
        Self {
            kinds: [crate::event::EventKind::DataShare, crate::event::EventKind::Grant].into(),
            data_hash: Some(data_hash),
            recipient: None,
        }
    }

    /// Erasures of this data.
    pub fn erasure(data_hash: DataHash) -> Self {
        Self {
            kinds: [crate::event::EventKind::DataDelete].into(),
            data_hash: Some(data_hash),
            recipient: None,
        }
    }

    /// Withdrawals of this recipient's access to this data.
    pub fn revocation(data_hash: DataHash, recipient: Address) -> Self {
        Self {
            kinds: [crate::event::EventKind::Revoke].into(),
            data_hash: Some(data_hash),
            recipient: Some(recipient),
        }
    }

    /// Deliveries of this data, or acknowledgements of it by this node.
    pub fn evidence(kind: crate::event::EventKind, data_hash: DataHash) -> Self {
        Self {
            kinds: [kind].into(),
            data_hash: Some(data_hash),
            recipient: None,
        }
    }

    /// The share of this data with this recipient, or the grant.
    pub fn share(data_hash: DataHash, recipient: Address) -> Self {
        Self {
            recipient: Some(recipient),
            ..Self::shares_of(data_hash)
        }
    }
}
