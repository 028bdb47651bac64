//! Whether the metrics can be read.

use async_trait::async_trait;
use dm_core::{
    health::{Finding, Trouble},
    ports::HealthCheck,
};

use crate::listener::Listener;

/// Judges a listener.
pub struct ListenerHealth(pub Listener);

#[async_trait]
impl HealthCheck for ListenerHealth {
    fn part(&self) -> &'static str {
        "metrics"
    }

    async fn check(&self) -> Finding {
        match self.0.fault() {
            None => Finding::Working,
            Some((since, reason)) => Finding::Degraded(
                Trouble::new(
                    format!("metrics cannot be read at {}: {reason}", self.0.address()),
                    "give this node another metrics.listen, or end the program that has the port; it is tried again by itself",
                )
                .since(since),
            ),
        }
    }
}
