//! [`MemoryCatalog`] and the suites for catalogs: one module of promises for
//! each port, and a macro that makes one test of each promise.
//!
//! An adapter's test file says how to make an empty catalog (anything that
//! dereferences to it, so that a temporary folder can come along) and calls
//! the macros:
//!
//! ```
//! # fn main() {}
//! # use std::sync::Arc;
//! use dm_testing::catalog::MemoryCatalog;
//!
//! async fn empty() -> Arc<MemoryCatalog> {
//!     Arc::new(MemoryCatalog::new())
//! }
//!
//! mod peer_book {
//!     use super::empty;
//!     dm_testing::peer_catalog_conformance!(empty);
//! }
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod api_keys;
pub mod checkpoints;
pub mod contacts;
pub mod deliveries;
pub mod erasures;
pub mod event_log;
pub mod fencing;
pub mod history;
pub mod inbox;
pub mod instances;
pub mod journal;
pub mod key_changes;
pub mod key_uses;
pub mod leases;
pub mod mandates;
mod memory;
mod memory_contacts;
mod memory_deliveries;
mod memory_erasures;
mod memory_inbox;
mod memory_journal;
mod memory_key_uses;
mod memory_leases;
mod memory_log;
mod memory_orders;
mod memory_readables;
mod memory_revocations;
mod memory_sent;
mod memory_shares;
mod memory_subscriptions;
mod memory_tables;
mod memory_uploads;
pub mod order_samples;
pub mod orders;
pub mod payments;
pub mod peers;
pub mod readable_objects;
pub mod recorded_orders;
pub mod revocations;
pub mod samples;
pub mod sent;
pub mod shares;
pub mod spreading;
pub mod subscriptions;
pub mod tokens;
pub mod uploads;
pub mod users;
pub mod whole_shares;

pub use self::{memory::MemoryCatalog, memory_leases::MemoryLeases};
use dm_core::ports::{
    DeliveryCatalog, Erasures, EventJournal, EventLog, InboxCatalog, KeyUses, OrderCatalog, ReadableObjects,
    Revocations, SentCatalog, ShareCatalog, TokenCatalog, UploadCatalog, UsedMandates,
};

/// The ports that a catalog of shares has together: whether a share is
/// recorded follows from the log, and what is to be spread from the objects.
pub trait ShareLedger: ShareCatalog + ReadableObjects + EventLog {}

impl<T: ShareCatalog + ReadableObjects + EventLog> ShareLedger for T {}

/// The ports that a catalog has which destroys what it keeps of data.
pub trait ErasureLedger: Erasures + ShareLedger {}

impl<T: Erasures + ShareLedger> ErasureLedger for T {}

/// The ports of a catalog that has an inbox, whose items end with their data.
pub trait InboxLedger: InboxCatalog + Erasures {}

impl<T: InboxCatalog + Erasures> InboxLedger for T {}

/// The ports of a catalog of deliveries, which the log records and which outlast their shares.
pub trait DeliveryLedger: DeliveryCatalog + InboxCatalog + EventJournal + RevocationLedger {}

impl<T: DeliveryCatalog + InboxCatalog + EventJournal + RevocationLedger> DeliveryLedger for T {}

/// The ports of a catalog that remembers on whose word its shares were made.
pub trait MandateLedger: UsedMandates + ErasureLedger {}

impl<T: UsedMandates + ErasureLedger> MandateLedger for T {}

/// The ports that a catalog of wrapped keys has which knows what wraps them.
pub trait KeyLedger: KeyUses + ReadableObjects + Revocations {}

impl<T: KeyUses + ReadableObjects + Revocations> KeyLedger for T {}

/// The ports of a catalog whose uploads need versions of the node's key, and become shares.
pub trait UploadLedger: UploadCatalog + KeyUses + ErasureLedger {}

impl<T: UploadCatalog + KeyUses + ErasureLedger> UploadLedger for T {}

/// The ports that a catalog has which takes access away.
pub trait RevocationLedger: Revocations + ErasureLedger {}

impl<T: Revocations + ErasureLedger> RevocationLedger for T {}

/// The ports that a catalog of orders has together: whether an order is
/// recorded follows from the log, and whether a payment has led to anything
/// from the shares.
pub trait OrderLedger: OrderCatalog + ShareCatalog + EventLog {}

impl<T: OrderCatalog + ShareCatalog + EventLog> OrderLedger for T {}

/// The ports of a catalog in whose one transaction a share comes into being.
pub trait WholeShareLedger: MandateLedger + OrderCatalog + KeyUses + Revocations {}

impl<T: MandateLedger + OrderCatalog + KeyUses + Revocations> WholeShareLedger for T {}

/// The ports of a catalog that knows where its shares stand, which follows from all the others.
pub trait SentLedger: SentCatalog + WholeShareLedger + DeliveryCatalog {}

impl<T: SentCatalog + WholeShareLedger + DeliveryCatalog> SentLedger for T {}

/// The ports of a catalog whose changes are news in its journal.
pub trait JournalLedger: EventJournal + WholeShareLedger + TokenCatalog + InboxCatalog {}

impl<T: EventJournal + WholeShareLedger + TokenCatalog + InboxCatalog> JournalLedger for T {}

/// Makes a test of each promise of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($empty:path, $suite:ident: $($promise:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let catalog = $empty().await;
                $crate::catalog::$suite::$promise(&*catalog).await;
            }
        )+
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MemoryCatalog, MemoryLeases};

    async fn no_leases() -> Arc<MemoryLeases> {
        Arc::new(MemoryLeases::new())
    }

    async fn empty() -> Arc<MemoryCatalog> {
        Arc::new(MemoryCatalog::new())
    }

    crate::share_catalog_conformance!(empty);
    crate::whole_shares_conformance!(empty);
    crate::readable_objects_conformance!(empty);
    crate::key_uses_conformance!(empty);
    crate::key_changes_conformance!(empty);
    crate::erasures_conformance!(empty);
    crate::inbox_catalog_conformance!(empty);
    crate::sent_catalog_conformance!(empty);
    crate::delivery_catalog_conformance!(empty);
    crate::revocations_conformance!(empty);
    crate::event_log_conformance!(empty);
    crate::api_key_catalog_conformance!(empty);
    crate::peer_catalog_conformance!(empty);
    crate::order_catalog_conformance!(empty);
    crate::token_catalog_conformance!(empty);
    crate::event_journal_conformance!(empty);
    crate::subscription_catalog_conformance!(empty);
    crate::authorized_users_conformance!(empty);
    crate::contact_book_conformance!(empty);
    crate::upload_catalog_conformance!(empty);
    crate::used_mandates_conformance!(empty);
    crate::leases_conformance!(no_leases);
    crate::instances_conformance!(no_leases);
}
