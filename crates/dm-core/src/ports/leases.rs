use std::time::Duration;

use async_trait::async_trait;

use super::CatalogError;
use crate::{
    instance::InstanceId,
    lease::{Epoch, Lease},
};

/// How many of the newest leases are kept at least.
pub const KEPT_LEASES: u64 = 10_000;

/// Keeps the lease of the leader. A catalog that keeps it makes what is written
/// [in an epoch](crate::lease::in_epoch) only while the lease is of that epoch.
///
/// Time passes by the clock of whoever keeps it alone: no caller says what time it is. A
/// caller measures from before it asks, so that it gives the lease up no later than it ends.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease for `lasts` (whole milliseconds), where nobody else has it; `None` where
    /// somebody has. Of all who ask at once, one gets it. Who has it already begins a further
    /// epoch, and ends the one before. Durable when it returns.
    ///
    /// # Errors
    /// Then it may have been taken all the same.
    async fn take_lease(&self, instance: InstanceId, lasts: Duration) -> Result<Option<Epoch>, CatalogError>;

    /// Lets the lease end `lasts` from now. False where it has ended or is of another epoch:
    /// a lease that has ended is never renewed.
    ///
    /// # Errors
    /// Then it may have been renewed all the same.
    async fn renew_lease(&self, epoch: Epoch, lasts: Duration) -> Result<bool, CatalogError>;

    /// Ends the lease, so that the next one need not wait. False where it has ended already or
    /// is of another epoch.
    ///
    /// # Errors
    /// Then it may have ended all the same.
    async fn give_back_lease(&self, epoch: Epoch) -> Result<bool, CatalogError>;

    /// The lease that is held at the moment. `None` also where the clock was set back since it
    /// was renewed: whoever asks for it then shortens it.
    async fn lease(&self) -> Result<Option<Lease>, CatalogError>;

    /// At most `limit` leases after `after`, oldest first: who had it from when until when.
    /// The newest [`KEPT_LEASES`] are kept.
    async fn leases(&self, after: Epoch, limit: usize) -> Result<Vec<Lease>, CatalogError>;
}
