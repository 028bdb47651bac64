//! What came of the attempts to make a refund.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

/// What came of the attempts to make a refund, which is owed until it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tries {
    /// Attempts that have failed.
    pub failed: u32,
    /// Operations that were begun and have ended for certain without moving
    /// anything. Each further one needs a name of its own.
    pub spent: u32,
    /// Why the money has not moved yet.
    pub reason: Option<String>,
    /// Not before this time is it tried again, in milliseconds since the Unix epoch.
    pub next_at: u64,
    /// The account that makes it, where it is another than the one that was paid.
    pub payer: Option<Address>,
}
