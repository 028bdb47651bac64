use async_trait::async_trait;

use crate::health::Finding;

/// Judges one part of the node by what that part is for: a store by its last
/// writes, the log by the age of what is not anchored yet, background work by
/// its oldest due entry.
#[async_trait]
pub trait HealthCheck: Send + Sync {
    /// Name of the part in the answer of `/health`, such as `object_store`.
    fn part(&self) -> &'static str;

    /// How the part is now. It is asked every few seconds; one that takes longer
    /// than whoever asks waits counts as
    /// degraded.
    async fn check(&self) -> Finding;
}
