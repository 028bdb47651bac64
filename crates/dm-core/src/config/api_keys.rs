//! What can be set about API keys.

use serde::Deserialize;

/// How wrong API keys are met.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeysConfig {
    /// Wrong keys that may come from one address before it has to wait.
    pub max_wrong: u32,
    /// Seconds that an address has to wait at most; each further wrong key
    /// doubles the wait, from one second on.
    pub longest_wait_secs: u64,
}

impl Default for ApiKeysConfig {
    fn default() -> Self {
        Self {
            max_wrong: 10,
            longest_wait_secs: 60,
        }
    }
}
