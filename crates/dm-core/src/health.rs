//! Health: what the node says of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{plugin::PluginState, tasks::TaskStatus};

/// How the node is as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthLevel {
    /// Everything works.
    Healthy,
    /// It serves, but something that it needs is away.
    Degraded,
    /// It cannot do its work until an operator acts.
    Unhealthy,
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
    /// The parts.
    pub components: HealthComponents,
    /// Background tasks that do not run or have failed.
    pub tasks: BTreeMap<String, TaskStatus>,
    /// Plugins, by their names.
    pub plugins: BTreeMap<String, PluginState>,
    /// Version of the software.
    pub version: &'static str,
}
