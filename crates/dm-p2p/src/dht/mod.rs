//! What this node does with the distributed hash table: which records it
//! keeps for others, how it looks things up, and how it announces its own.

mod announcer;
mod lookup;
mod provide;
mod records;
mod store;

pub(crate) use announcer::{announce, keep_announcing};
pub(crate) use lookup::find_address;
pub(crate) use provide::{ProvideQueue, provide_from_queue, provide_stored};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use records::check_address_record;
pub(crate) use records::{ReceivedRecord, check_provider, check_received};
pub(crate) use store::{BoundedStore, StoreLimits};
