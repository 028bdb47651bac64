//! Whether the collector takes spans.

use async_trait::async_trait;
use dm_core::{
    health::{Finding, Trouble},
    ports::HealthCheck,
};

use crate::exporter::Exporter;

/// Judges a collector.
pub struct CollectorHealth(pub Exporter);

#[async_trait]
impl HealthCheck for CollectorHealth {
    fn part(&self) -> &'static str {
        "traces"
    }

    async fn check(&self) -> Finding {
        match self.0.fault() {
            None => Finding::Working,
            Some((since, reason)) => Finding::Degraded(
                Trouble::new(
                    format!("the collector at {} takes no traces: {reason}", self.0.collector()),
                    "look at the collector and at traces.otlp_url; the node does its work without it, and its spans are lost meanwhile",
                )
                .since(since),
            ),
        }
    }
}
