//! What can be set about the node's keys.

use serde::Deserialize;

/// The node's own keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeysConfig {
    /// Days after which the key-encryption key is replaced by a new version; 0 for never.
    pub rotate_after_days: u32,
    /// Whether older versions are destroyed once nothing needs them.
    pub destroy_retired: bool,
}
