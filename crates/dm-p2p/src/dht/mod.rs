//! What this node does with the distributed hash table: which records it
//! keeps for others, how it looks things up, and how it announces its own.

use std::time::Duration;

mod announcer;
mod lookup;
mod provide;
mod provider_records;
mod records;
mod region;
mod shares;
mod store;
mod sweep;

/// Records expire unless they are announced again.
pub(crate) const RECORD_TTL: Duration = Duration::from_secs(48 * 60 * 60);

pub(crate) use announcer::{announce, keep_announcing};
pub(crate) use lookup::find_address;
pub(crate) use provide::{ProvideQueue, provide_from_queue};
pub(crate) use provider_records::{ProviderLimits, ProviderRecords};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use records::check_address_record;
pub(crate) use records::{ReceivedRecord, check_provider, check_received};
pub(crate) use store::{BoundedStore, RecordLimits};
pub use sweep::SweepTrace;
pub(crate) use sweep::{provide_stored, sweep_now};
