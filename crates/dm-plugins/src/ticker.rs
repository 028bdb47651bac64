//! Lets running components be interrupted.

use std::{sync::mpsc, thread, time::Duration};

use wasmtime::Engine;

/// Between two ticks. A component that computes gives way at each.
const TICK: Duration = Duration::from_millis(5);

/// Ticks until it is dropped. It has a thread of its own: the async ones may
/// all be busy in components.
pub(crate) struct Ticker {
    /// Nothing is sent: that it is gone ends the thread.
    _alive: mpsc::Sender<()>,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let (alive, ended) = mpsc::channel();
        thread::Builder::new()
            .name("plugin-ticker".to_owned())
            .spawn(move || {
                while ended.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })?;
        Ok(Self { _alive: alive })
    }
}
