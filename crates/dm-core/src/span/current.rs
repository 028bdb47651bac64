//! The trace in which something is done.

use super::{TraceContext, Tracer};

tokio::task_local! {
    static CURRENT: Current;
}

/// Where in a trace the work is, and who is told of its spans.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) context: TraceContext,
    pub(super) tracer: Tracer,
}

pub(super) fn get() -> Option<Current> {
    CURRENT.try_with(Clone::clone).ok()
}

pub(super) async fn within<Work: Future>(context: TraceContext, tracer: Tracer, work: Work) -> Work::Output {
    CURRENT.scope(Current { context, tracer }, work).await
}

/// The place in a trace where this is done; `None` where it belongs to no request.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|current| current.context).ok()
}

/// The same, where somebody is told of the spans: only then is a context kept, or given to others.
pub fn recorded() -> Option<TraceContext> {
    let recorded = CURRENT.try_with(|current| {
        current
            .tracer
            .records(&current.context)
            .then_some(current.context)
    });
    recorded.ok().flatten()
}

/// Takes the trace along into a task of its own, where there is one.
pub fn in_same_trace<Work: Future>(work: Work) -> impl Future<Output = Work::Output> {
    let current = get();
    async move {
        match current {
            Some(Current { context, tracer }) => within(context, tracer, work).await,
            None => work.await,
        }
    }
}
