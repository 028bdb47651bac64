//! What can be set about plugins.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What plugins may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginsConfig {
    /// Plugins without which no share and no retrieval happens that they have
    /// a say in.
    pub required: Vec<String>,
    /// Whether plugins with the hook `content` examine the data of others, too, when this
    /// node reads it for the first time.
    pub examine_received: bool,
    /// What each plugin may do of what its manifest asks for, by its name:
    /// `content`, `node.health`, `node.verify`, or an origin such as
    /// `https://hooks.example.org`.
    pub granted: BTreeMap<String, Vec<String>>,
    /// Most bytes of memory that the manifest of a plugin may ask for.
    pub max_memory_bytes: u64,
    /// Longest time of one call, in milliseconds, that a manifest may ask for.
    pub max_call_ms: u64,
    /// Most bytes of its own data that a manifest may ask for.
    pub max_store_bytes: u64,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            required: Vec::new(),
            examine_received: false,
            granted: BTreeMap::new(),
            max_memory_bytes: 256 << 20,
            max_call_ms: 10_000,
            max_store_bytes: 256 << 20,
        }
    }
}
