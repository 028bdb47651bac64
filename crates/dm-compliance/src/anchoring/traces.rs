//! The last span of a share's trace: from its record to its anchor, whichever instance, or
//! earlier run, has recorded it.

use std::{ops::Range, time::Duration};

use dm_core::clock::now_ms;

use super::Anchorer;

/// Events of one anchor whose traces are told. Their spans would not all find room beyond that.
const MOST: usize = 2048;

impl Anchorer {
    /// Tells the traces of these events that an anchor covers them now. What fails costs the
    /// traces alone.
    pub(super) async fn tell_traces(&self, covered: Range<u64>) {
        let deps = &self.deps;
        if !deps.tracer.is_on() {
            return;
        }
        let traced = match deps.log.events().traced_events(covered, MOST).await {
            Ok(traced) => traced,
            Err(error) => return tracing::debug!(%error, "traces do not learn of an anchor"),
        };
        let now = now_ms();
        for event in &traced {
            deps.tracer
                .tell_past("share.anchor", &event.trace, event.recorded_at, now);
        }
        if let Some(last) = traced.last() {
            let waited = Duration::from_millis(now.saturating_sub(last.recorded_at));
            deps.board.note_example(waited, last.trace);
        }
    }
}
