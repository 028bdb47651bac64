//! Examples of what is counted: the traces of single requests.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::{clock::now_ms, span::TraceContext};

/// For how long an example stays, in milliseconds: a new one costs more than a count.
const STAYS: u64 = 1_000;

/// An example of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// The request that had it.
    pub trace: TraceContext,
    /// The value.
    pub value: f64,
    /// When it was noted, in milliseconds since the Unix epoch.
    pub at: u64,
}

/// Keeps one example.
#[derive(Debug, Default)]
pub(super) struct ExemplarPlace {
    /// When the next example is taken, in milliseconds since the Unix epoch.
    next: AtomicU64,
    kept: Mutex<Option<Exemplar>>,
}

impl ExemplarPlace {
    /// Takes an example where the last one is old, and nobody reads or writes it at the moment.
    pub(super) fn offer(&self, trace: TraceContext, value: f64) {
        let now = now_ms();
        let next = self.next.load(Ordering::Relaxed);
        // A clock that was set back must not keep an example for long.
        if now < next && next - now <= STAYS {
            return;
        }
        if let Ok(mut kept) = self.kept.try_lock() {
            self.next.store(now + STAYS, Ordering::Relaxed);
            *kept = Some(Exemplar {
                trace,
                value,
                at: now,
            });
        }
    }

    /// The example.
    pub(super) fn get(&self) -> Option<Exemplar> {
        self.kept.lock().ok().and_then(|kept| *kept)
    }
}
