//! A place for work that keeps a core busy, away from the async threads.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::ServiceError;

/// Work on fewer bytes than this is done where it stands: moving it to
/// another thread would take longer.
const WORTH_MOVING: usize = 16 * 1024;

/// Runs no more work at once than there are cores; cheap to clone.
#[derive(Clone)]
pub(super) struct Cpu {
    cores: Arc<Semaphore>,
}

impl Cpu {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cores: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Runs `work` on a thread of its own as soon as a core is free.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let core = self.cores.clone().acquire_owned().await.map_err(stopped)?;
        tokio::task::spawn_blocking(move || {
            let _core = core;
            work()
        })
        .await
        .map_err(stopped)
    }

    /// Runs `work` that handles `bytes` bytes, on a thread of its own where
    /// that is worth it.
    pub(super) async fn run_on<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        if bytes < WORTH_MOVING {
            Ok(work())
        } else {
            self.run(work).await
        }
    }
}

/// The runtime is shutting down, or the work panicked.
fn stopped(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Unavailable(format!("work was cut off: {error}"))
}
