//! Lets running components be interrupted.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, Weak, mpsc},
    thread,
    time::Duration,
};

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
    fn start(engine: Engine) -> io::Result<Self> {
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

/// The ticker of all components of an engine. There is none while there is no component: its
/// ticks are most of what a node without plugins does while it idles.
pub(crate) struct SharedTicker {
    engine: Engine,
    ticker: Mutex<Weak<Ticker>>,
}

impl SharedTicker {
    pub(crate) fn of(engine: Engine) -> Self {
        Self {
            engine,
            ticker: Mutex::default(),
        }
    }

    /// The ticker, which ticks as long as somebody has it.
    pub(crate) fn get(&self) -> io::Result<Arc<Ticker>> {
        let mut shared = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ticker) = shared.upgrade() {
            return Ok(ticker);
        }
        let ticker = Arc::new(Ticker::start(self.engine.clone())?);
        *shared = Arc::downgrade(&ticker);
        Ok(ticker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_ticker_for_all_and_none_without_anybody() {
        let shared = SharedTicker::of(Engine::default());
        let (one, other) = (shared.get().unwrap(), shared.get().unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        drop((one, other));
        assert_eq!(shared.ticker.lock().unwrap().strong_count(), 0);
        assert!(shared.get().is_ok());
    }
}
