use dm_core::ports::StoreError;
use tokio::task::JoinHandle;

use crate::error::failed;

/// The result of work on another thread.
pub(crate) async fn joined<T>(work: JoinHandle<Result<T, StoreError>>) -> Result<T, StoreError> {
    work.await.unwrap_or_else(|error| Err(failed(error)))
}

/// Runs work that may wait for the disk or takes long on a thread for such work.
pub(crate) async fn blocking<T, Work>(work: Work) -> Result<T, StoreError>
where
    T: Send + 'static,
    Work: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    joined(tokio::task::spawn_blocking(work)).await
}
