use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// Begins work that only the leader does. It ends when the token is cancelled, and says why it
/// failed where it did.
pub type LeaderTask = dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// Knows when this instance leads, where a node may have several.
#[async_trait]
pub trait Leads: Send + Sync {
    /// Does the work each time that this instance leads, [in the epoch](crate::lease::in_epoch)
    /// of that time, until the shutdown. It is told to end before another instance leads, and
    /// is dropped where it does not end then.
    ///
    /// # Errors
    /// That of the work, except where it failed since this instance leads no more.
    async fn lead(&self, shutdown: CancellationToken, work: &LeaderTask) -> Result<(), String>;
}
