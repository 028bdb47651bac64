//! What questions to plugins come to, and how the plugins are.

use async_trait::async_trait;
use dm_core::{
    health::{Finding, Trouble},
    meter::{Counter, Histogram, HistogramReading},
    plugin::PluginState,
    ports::HealthCheck,
};

use super::PluginManager;

/// The questions to one plugin since the start of the process.
#[derive(Debug)]
pub(super) struct PluginMeter {
    /// How long answers took, with the wait for the plugin.
    pub(super) seconds: Histogram,
    /// Questions without an answer: the plugin failed, panicked or was too slow.
    pub(super) faults: Counter,
}

impl Default for PluginMeter {
    fn default() -> Self {
        Self {
            seconds: Histogram::of_seconds(),
            faults: Counter::default(),
        }
    }
}

/// What the questions to a plugin came to since the start of the process.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginReading {
    /// Its name.
    pub name: String,
    /// Whether it is called now.
    pub is_running: bool,
    /// How long answers took in seconds, with the wait for the plugin; there are as many as
    /// questions.
    pub seconds: HistogramReading,
    /// Questions without an answer: the plugin failed, panicked or was too slow.
    pub faults: u64,
    /// Events that it did not hear of.
    pub events_missed: u64,
}

impl PluginManager {
    /// What the questions to every plugin came to, in the order of their names.
    pub fn readings(&self) -> Vec<PluginReading> {
        let roster = self.roster();
        let readings = roster.iter().map(|slot| {
            let status = slot.status();
            PluginReading {
                name: status.name,
                is_running: status.state == PluginState::Running,
                seconds: slot.meter.seconds.reading(),
                faults: slot.meter.faults.value(),
                events_missed: status.events_missed,
            }
        });
        readings.collect()
    }
}

#[async_trait]
impl HealthCheck for PluginManager {
    fn part(&self) -> &'static str {
        "plugins"
    }

    async fn check(&self) -> Finding {
        let statuses = self.statuses();
        let failed = statuses
            .into_iter()
            .filter(|plugin| plugin.state == PluginState::Failed);
        let reasons: Vec<String> = failed
            .map(|plugin| match plugin.last_error {
                Some(reason) => format!("{}: {reason}", plugin.name),
                None => plugin.name,
            })
            .collect();
        if reasons.is_empty() {
            return Finding::Working;
        }
        Finding::Degraded(Trouble::new(
            format!(
                "plugins have failed and are started again: {}",
                reasons.join("; ")
            ),
            "look at `dm-node plugins` and at the log; mend the plugin, or disable it",
        ))
    }
}
