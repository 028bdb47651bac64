//! What can be set about the journal of events.

use serde::Deserialize;

/// How long events are kept for programs that ask for them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Seconds that an event is kept.
    pub keep_secs: u64,
    /// Most events that are kept; the newest ones stay.
    pub max_kept: u64,
    /// Networks such as `10.1.0.0/16` in which receivers of events may be although they
    /// are not on the public internet.
    pub allowed_networks: Vec<String>,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            keep_secs: 30 * 86_400,
            max_kept: 1_000_000,
            allowed_networks: Vec::new(),
        }
    }
}
