//! The event bus: what happens in the node, for whoever wants to know.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::clock::now_ms;

/// Events that a new listener can still be shown.
const HISTORY: usize = 200;
/// Events that a slow listener may lag behind before it misses some.
const BACKLOG: usize = 1024;

/// What happened. The names are part of the interface of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[allow(missing_docs, reason = "the serialised names say it")]
pub enum Topic {
    #[serde(rename = "health.update")]
    HealthUpdate,
    #[serde(rename = "health.component_change")]
    HealthComponentChange,
    #[serde(rename = "token.balance_update")]
    TokenBalanceUpdate,
    #[serde(rename = "token.transfer_completed")]
    TokenTransferCompleted,
    #[serde(rename = "token.transfer_failed")]
    TokenTransferFailed,
    #[serde(rename = "token.added")]
    TokenAdded,
    #[serde(rename = "data.shared")]
    DataShared,
    #[serde(rename = "data.received")]
    DataReceived,
    #[serde(rename = "data.verified")]
    DataVerified,
    #[serde(rename = "compliance.event")]
    ComplianceEvent,
    #[serde(rename = "network.peer_connected")]
    PeerConnected,
    #[serde(rename = "network.peer_disconnected")]
    PeerDisconnected,
    #[serde(rename = "network.peer_health")]
    PeerHealth,
    #[serde(rename = "network.stats_update")]
    NetworkStatsUpdate,
    #[serde(rename = "security.wrong_api_keys")]
    WrongApiKeys,
    #[serde(rename = "system.node_started")]
    NodeStarted,
    #[serde(rename = "system.node_stopping")]
    NodeStopping,
    #[serde(rename = "system.error")]
    SystemError,
}

/// An event with its data; never a payload or a secret.
#[derive(Debug, Clone, Serialize)]
pub struct NodeEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub topic: Topic,
    /// What belongs to it.
    pub data: Value,
    /// Seconds since the Unix epoch, with milliseconds.
    pub timestamp: f64,
}

/// Hands every event to every listener; cheap to clone.
#[derive(Debug, Clone)]
pub struct EventBus {
    sender: broadcast::Sender<NodeEvent>,
    history: Arc<Mutex<VecDeque<NodeEvent>>>,
}

impl Default for EventBus {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
            history: Arc::default(),
        }
    }
}

impl EventBus {
    /// A bus without listeners.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells all listeners; never blocks.
    pub fn publish(&self, topic: Topic, data: Value) {
        let event = NodeEvent {
            topic,
            data,
            timestamp: now_ms() as f64 / 1000.0,
        };
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(event.clone());
        drop(history);
        // An error only says that nobody listens.
        let _ = self.sender.send(event);
    }

    /// All events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<NodeEvent> {
        self.sender.subscribe()
    }

    /// The last `count` events, oldest first, of at most 200.
    pub fn history(&self, count: usize) -> Vec<NodeEvent> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = history.len().saturating_sub(count);
        history.iter().skip(skipped).cloned().collect()
    }
}
