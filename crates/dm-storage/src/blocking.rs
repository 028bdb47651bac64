use dm_core::ports::StoreError;
#[cfg(any(feature = "postgres", feature = "s3"))]
use tokio::runtime::{Builder, Handle, Runtime};
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

/// Threads for async work whose callers block, or which must go on whatever the callers do.
#[cfg(any(feature = "postgres", feature = "s3"))]
pub(crate) struct Background {
    handle: Handle,
    runtime: Option<Runtime>,
}

#[cfg(any(feature = "postgres", feature = "s3"))]
impl Background {
    /// Starts the threads.
    pub(crate) fn start(name: &str, threads: usize) -> Result<Self, StoreError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(StoreError::from_io)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

#[cfg(any(feature = "postgres", feature = "s3"))]
impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // This may be an async thread, which must not wait.
            runtime.shutdown_background();
        }
    }
}
