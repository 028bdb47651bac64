//! Hands a plugin what happens in the node.

use std::sync::Arc;

use dm_core::bus::NodeEvent;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{PluginManager, Running, Slot};

impl PluginManager {
    /// Hands events on, one after the other, until the plugin stops. Whoever
    /// is too slow misses some, and the node does not wait.
    pub(super) async fn deliver_events(
        self,
        slot: Arc<Slot>,
        running: Arc<Running>,
        mut events: Receiver<NodeEvent>,
    ) {
        while let Some(next) = running.stopping.run_until_cancelled(events.recv()).await {
            match next {
                Ok(event) => {
                    if let Err(fault) = running.tell(&event).await {
                        self.stop_faulty(&slot, running, &fault);
                        return;
                    }
                }
                Err(RecvError::Lagged(count)) => slot.miss_events(count),
                Err(RecvError::Closed) => return,
            }
        }
    }
}
