//! Health: what the node says of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{plugin::PluginState, tasks::TaskStatus};

/// How the node, or a part of it, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthLevel {
    /// Everything works.
    Healthy,
    /// It serves, but something that it needs is away or late.
    Degraded,
    /// It cannot do its work until an operator acts or the fault passes.
    Unhealthy,
}

/// What a [`HealthCheck`](crate::ports::HealthCheck) finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The part does what it is for.
    Working,
    /// The part is late, or works in part only.
    Degraded(Trouble),
    /// The part does not do what it is for.
    Failed(Trouble),
}

/// What is wrong with a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What happens, as a sentence without a full stop. Never a secret.
    pub reason: String,
    /// What the operator can do about it, as a sentence without a full stop.
    pub action: String,
    /// When it began, in milliseconds since the Unix epoch, where the part knows;
    /// else the first check that found it counts.
    pub since: Option<u64>,
}

impl Trouble {
    /// Trouble that began when it was first found.
    pub fn new(reason: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            action: action.into(),
            since: None,
        }
    }

    /// The same, with its beginning in milliseconds since the Unix epoch.
    #[must_use]
    pub fn since(mut self, since: u64) -> Self {
        self.since = Some(since);
        self
    }
}

/// How one part of the node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartHealth {
    /// How it is.
    pub status: HealthLevel,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
    /// What is wrong, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it, where something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

impl PartHealth {
    /// How the part is after a check at `now`, in milliseconds since the Unix
    /// epoch, where it was `before`.
    pub fn after(finding: Finding, before: Option<&Self>, now: u64) -> Self {
        let (status, trouble) = match finding {
            Finding::Working => (HealthLevel::Healthy, None),
            Finding::Degraded(trouble) => (HealthLevel::Degraded, Some(trouble)),
            Finding::Failed(trouble) => (HealthLevel::Unhealthy, Some(trouble)),
        };
        let unchanged = before.filter(|before| before.status == status);
        let found_since = unchanged.map_or(now, |before| before.since);
        Self {
            status,
            since: trouble
                .as_ref()
                .and_then(|trouble| trouble.since)
                .unwrap_or(found_since),
            reason: trouble.as_ref().map(|trouble| trouble.reason.clone()),
            action: trouble.map(|trouble| trouble.action),
        }
    }
}

/// The state of the parts, in the words of the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthComponents {
    /// `connected` or `disconnected`.
    pub blockchain: &'static str,
    /// `running` or `stopped`.
    pub p2p_network: &'static str,
    /// `initialized`: a node without keys does not start.
    pub encryption: &'static str,
    /// `ok`, or what is wrong with the compliance log.
    pub compliance: String,
}

/// The answer of `/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// The whole.
    pub status: HealthLevel,
    /// The parts, in the words of older clients.
    pub components: HealthComponents,
    /// Every part that can fail, by its name: since when it is as it is, why, and
    /// what to do.
    pub parts: BTreeMap<&'static str, PartHealth>,
    /// Background tasks that do not run or have failed.
    pub tasks: BTreeMap<String, TaskStatus>,
    /// Plugins, by their names.
    pub plugins: BTreeMap<String, PluginState>,
    /// Version of the software.
    pub version: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_lasts_keeps_its_beginning() {
        let trouble = || Finding::Failed(Trouble::new("the disk is full", "make room"));
        let working = PartHealth::after(Finding::Working, None, 5);
        assert_eq!((working.status, working.since), (HealthLevel::Healthy, 5));
        let failed = PartHealth::after(trouble(), Some(&working), 10);
        assert_eq!((failed.status, failed.since), (HealthLevel::Unhealthy, 10));
        let still = PartHealth::after(trouble(), Some(&failed), 15);
        assert_eq!(
            (still.since, still.reason.as_deref()),
            (10, Some("the disk is full"))
        );
        assert_eq!(PartHealth::after(Finding::Working, Some(&still), 20).since, 20);
    }

    #[test]
    fn a_part_that_knows_when_it_began_is_believed() {
        let late = Finding::Degraded(Trouble::new("late", "wait").since(3));
        assert_eq!(PartHealth::after(late, None, 10).since, 3);
    }
}
