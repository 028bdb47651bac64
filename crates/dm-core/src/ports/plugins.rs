use std::sync::Arc;

use alloy_primitives::Address;
use async_trait::async_trait;

use super::KeyValueStore;
use crate::plugin::{
    Piece, PluginEvent, PluginFault, PluginInfo, ReceivedView, RetrievalView, ShareView, Verdict,
};

/// What a plugin gets to work with.
#[derive(Clone)]
pub struct PluginContext {
    /// Name of the node.
    pub node_id: String,
    /// The account that the node acts for.
    pub address: Address,
    /// The plugin's own data, which outlives restarts. A change beyond the
    /// plugin's limit is refused.
    pub store: Arc<dyn KeyValueStore>,
}

/// Extends the node. Only the functions of hooks that the plugin names in its
/// [`PluginInfo`] are called, and none before `initialize` has returned.
///
/// An error or a panic, and a call that takes longer than its limit, is a fault:
/// the plugin is shut down and started again after a pause. Implementations
/// must not block the thread.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Name, version, hooks and limits; always the same.
    fn info(&self) -> PluginInfo;

    /// Makes the plugin ready to be called. May come again after `shutdown`.
    async fn initialize(&self, context: PluginContext) -> Result<(), PluginFault>;

    /// Ends the plugin's work; also called after a fault.
    async fn shutdown(&self);

    /// Hook `events`: something has happened. Events come one after the other, those of the
    /// journal in its order and at least once: one that the plugin fails on comes again.
    async fn on_event(&self, _event: &PluginEvent) -> Result<(), PluginFault> {
        Ok(())
    }

    /// Hook `share`: whether a share may happen. Asked before it is paid for.
    async fn before_share(&self, _share: &ShareView) -> Result<Verdict, PluginFault> {
        Ok(Verdict::Allow)
    }

    /// Hook `content`: whether this part of some data may be shared, or read where the
    /// operator wants that. Parts of several data may come interleaved.
    async fn examine(&self, _piece: &Piece) -> Result<Verdict, PluginFault> {
        Ok(Verdict::Allow)
    }

    /// Hook `retrieval`: whether a retrieval may happen.
    async fn before_retrieval(&self, _retrieval: &RetrievalView) -> Result<Verdict, PluginFault> {
        Ok(Verdict::Allow)
    }

    /// Hook `receive`: whether data of somebody else may be listed or fetched.
    async fn before_receive(&self, _received: &ReceivedView) -> Result<Verdict, PluginFault> {
        Ok(Verdict::Allow)
    }
}

/// Where plugins come from.
#[async_trait]
pub trait PluginSource: Send + Sync {
    /// The names of all plugins that there are.
    async fn names(&self) -> Result<Vec<String>, PluginFault>;

    /// Makes the plugin of this name, as it is now; `None` where there is none.
    async fn load(&self, name: &str) -> Result<Option<Arc<dyn Plugin>>, PluginFault>;
}

/// What plugins may ask of the node, as JSON.
#[async_trait]
pub trait NodeFunctions: Send + Sync {
    /// How the node is.
    async fn health(&self) -> Result<String, PluginFault>;

    /// What is known of a share of the data with this hash.
    async fn verify(&self, data_hash: &str) -> Result<String, PluginFault>;
}
