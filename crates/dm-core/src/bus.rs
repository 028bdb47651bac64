//! The event bus: what happens in the node and no change of the catalog tells, for whoever
//! wants to know now.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::{clock::now_ms, news::News};

/// Events that a new listener can still be shown.
const HISTORY: usize = 200;
/// Events that a slow listener may lag behind before it misses some.
const BACKLOG: usize = 1024;

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeEvent {
    /// What happened.
    #[serde(flatten)]
    pub news: News,
    /// Seconds since the Unix epoch, with milliseconds.
    pub timestamp: f64,
}

impl NodeEvent {
    /// Its name and its data, as the JSON form has them.
    pub fn parts(&self) -> (String, Value) {
        self.news.parts()
    }
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
    pub fn publish(&self, news: News) {
        let event = NodeEvent {
            news,
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
