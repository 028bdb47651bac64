//! Tells systemd how the node is, where it was started by it (`Type=notify`).

use sd_notify::NotifyState;
use tokio::{task::JoinHandle, time};

/// The node as its service manager sees it. Anywhere else it does nothing.
pub(crate) struct Service {
    /// Says that the process is alive, where that is asked for.
    watchdog: Option<JoinHandle<()>>,
}

impl Service {
    /// The node runs. From now on it says twice in the time that systemd allows that its
    /// threads still work: one that stands still is started anew.
    pub(crate) fn ready() -> Self {
        tell(NotifyState::Ready);
        let watchdog = sd_notify::watchdog_enabled().map(|allowed| {
            tokio::spawn(async move {
                let mut ticks = time::interval(allowed / 2);
                loop {
                    ticks.tick().await;
                    tell(NotifyState::Watchdog);
                }
            })
        });
        Self { watchdog }
    }

    /// The node was asked to stop, and finishes its work.
    pub(crate) fn stopping(&self) {
        tell(NotifyState::Stopping);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.abort();
        }
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told how the node is");
    }
}
