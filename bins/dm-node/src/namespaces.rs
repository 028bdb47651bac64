//! What parts of the node keep in key-value stores, each in a namespace of its own.

use std::sync::Arc;

use dm_core::{config::NodeConfig, ports::KeyValueStore};
use dm_storage::{SqliteCatalog, Storage};

/// A namespace of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// What was rung in other instances.
    Bells,
    /// The embedded chain.
    Chain,
    /// What of the inbox is to be fetched.
    Fetches,
    /// Peers that held objects.
    Holders,
    /// What instances ask of the leader.
    LeaderCalls,
    /// Letters that are kept for other addressees.
    Notices,
    /// Letters of this node that wait.
    Outbox,
    /// What plugins keep, and which are switched off.
    Plugins,
    /// What the repairer knows of the objects.
    Repair,
    /// Letters in the place of owners that are gone.
    ReplicaNotices,
    /// Transactions under way.
    Transactions,
    /// What instances work on that no two may work on.
    Turns,
}

impl Namespace {
    /// What a node takes along when it is moved: all but what its instances say to each other.
    pub(crate) const LASTING: [Self; 9] = [
        Self::Chain,
        Self::Fetches,
        Self::Holders,
        Self::Notices,
        Self::Outbox,
        Self::Plugins,
        Self::Repair,
        Self::ReplicaNotices,
        Self::Transactions,
    ];

    /// Its name in the stores, which never changes.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bells => "bells",
            Self::Chain => "chain",
            Self::Fetches => "fetches",
            Self::Holders => "holders",
            Self::LeaderCalls => "leader_calls",
            Self::Notices => "notices",
            Self::Outbox => "outbox",
            Self::Plugins => "plugins",
            Self::Repair => "repair",
            Self::ReplicaNotices => "replica_notices",
            Self::Transactions => "transactions",
            Self::Turns => "turns",
        }
    }

    /// Opens it: beside the objects, or where the catalog is in a database, there for all instances.
    pub(crate) fn open(
        self,
        config: &NodeConfig,
        storage: &Storage,
        catalog: &SqliteCatalog,
    ) -> Arc<dyn KeyValueStore> {
        let is_shared = match self {
            // They describe the objects, or the chain, of a data directory.
            Self::Chain | Self::Holders | Self::Repair => false,
            Self::Transactions => !config.uses_devnet(),
            Self::Bells
            | Self::Fetches
            | Self::LeaderCalls
            | Self::Notices
            | Self::Outbox
            | Self::Plugins
            | Self::ReplicaNotices
            | Self::Turns => true,
        };
        if is_shared && config.catalog_url.is_some() {
            catalog.namespace(self.name())
        } else {
            storage.namespace(self.name())
        }
    }
}
