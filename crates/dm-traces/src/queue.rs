//! The spans that wait to be sent. Whoever tells of a span never waits.

use std::sync::Arc;

use dm_core::{
    meter::Counter,
    span::{EndedSpan, SpanSink},
};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Most spans that wait: some megabytes.
pub(crate) const MAX_WAITING: usize = 8192;

/// What has become of spans since the start of the process.
#[derive(Debug, Default)]
pub struct TraceMeter {
    /// The collector has taken them.
    pub exported: Counter,
    /// There was no room for them in the queue.
    pub dropped: Counter,
    /// The collector has not taken them.
    pub lost: Counter,
}

/// The end of the queue that takes spans.
#[derive(Debug)]
pub(crate) struct Queue {
    spans: Sender<EndedSpan>,
    meter: Arc<TraceMeter>,
}

impl Queue {
    pub(crate) fn new(meter: Arc<TraceMeter>) -> (Self, Receiver<EndedSpan>) {
        let (spans, waiting) = mpsc::channel(MAX_WAITING);
        (Self { spans, meter }, waiting)
    }
}

impl SpanSink for Queue {
    fn take(&self, span: EndedSpan) {
        if self.spans.try_send(span).is_err() {
            self.meter.dropped.increment();
        }
    }
}
