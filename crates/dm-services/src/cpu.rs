//! A place for work that keeps a core busy, away from the async threads.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

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

    /// Cores on which no work runs now.
    pub(super) fn idle_cores(&self) -> usize {
        self.cores.available_permits()
    }

    /// Runs `work` on a thread of its own as soon as a core is free; dropping
    /// this gives up the place in the queue.
    ///
    /// Waiting is a task of its own: of several of these in a buffered stream
    /// one may be handed a core while nobody polls it, and would keep it from
    /// the one that is waited for.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let cores = self.cores.clone();
        let queued = tokio::spawn(async move {
            let core = cores.acquire_owned().await.map_err(stopped)?;
            let working = tokio::task::spawn_blocking(move || {
                let _core = core;
                work()
            });
            working.await.map_err(stopped)
        });
        AbortOnDropHandle::new(queued).await.map_err(stopped)?
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
    ServiceError::Unavailable(format!("work was cut off: {error}").into())
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_polls_keeps_no_core_from_others() {
        let cpu = Cpu::new();
        let mut ahead = stream::iter(0..200)
            .map(|n| {
                let cpu = cpu.clone();
                async move { cpu.run(move || n).await }
            })
            .buffered(32);
        while let Some(n) = ahead.next().await {
            // What is read ahead is not polled here.
            let n = n.unwrap();
            assert_eq!(cpu.run(move || n).await.unwrap(), n);
        }
    }
}
