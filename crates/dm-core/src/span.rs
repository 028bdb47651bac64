//! Spans of distributed traces: what took how long, and because of which request.
//!
//! The context of a trace goes with the work, as an epoch of the leader does, and not with a port.
//! Where nothing is recorded a span costs some nanoseconds and tells nobody anything.

mod context;
mod current;
mod tracer;

use std::{
    borrow::Cow,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub use self::{
    context::{SpanId, TraceContext, TraceId},
    current::{current, in_same_trace, recorded},
    tracer::{SpanSink, Tracer},
};

/// On which side of a request a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work within the node.
    Internal,
    /// A request that is answered.
    Server,
    /// A request that is made.
    Client,
}

/// A value that a span has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanValue {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for SpanValue {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for SpanValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSpan {
    /// The trace, and the span in it.
    pub context: TraceContext,
    /// The span that it is a part of; `None` for the first one of a trace.
    pub parent: Option<SpanId>,
    /// What was done.
    pub name: Cow<'static, str>,
    /// On which side of a request it is.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since the Unix epoch.
    pub began_at: u64,
    /// When it ended, in nanoseconds since the Unix epoch.
    pub ended_at: u64,
    /// What else is known of it.
    pub values: Vec<(&'static str, SpanValue)>,
    /// Whether it failed.
    pub has_failed: bool,
}

/// A span that has begun; it ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    tracer: Tracer,
    /// `None` where nobody is told of it.
    open: Option<Box<OpenSpan>>,
}

#[derive(Debug)]
struct OpenSpan {
    parent: Option<SpanId>,
    name: Cow<'static, str>,
    kind: SpanKind,
    began_at: u64,
    began: Instant,
    values: Vec<(&'static str, SpanValue)>,
    has_failed: bool,
}

impl Span {
    /// A part of what is done at the moment; `None` where that is not recorded.
    pub fn child(name: &'static str, kind: SpanKind) -> Option<Self> {
        let current = current::get().filter(|current| current.tracer.records(&current.context))?;
        let parent = current.context;
        let context = TraceContext {
            span_id: SpanId::random(),
            ..parent
        };
        Some(Self::begin(
            context,
            current.tracer,
            Some(parent.span_id),
            name,
            kind,
        ))
    }

    fn begin(
        context: TraceContext,
        tracer: Tracer,
        parent: Option<SpanId>,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
    ) -> Self {
        let open = tracer.records(&context).then(|| {
            Box::new(OpenSpan {
                parent,
                name: name.into(),
                kind,
                began_at: now_ns(),
                began: Instant::now(),
                values: Vec::new(),
                has_failed: false,
            })
        });
        Self {
            context,
            tracer,
            open,
        }
    }

    /// Where the span is.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Whether somebody is told of it.
    pub fn is_recorded(&self) -> bool {
        self.open.is_some()
    }

    /// Does work within the span. The work has a place of its own in memory, so that what waits
    /// for it does not grow with each span around it.
    pub fn run<Work: Future>(&self, work: Work) -> impl Future<Output = Work::Output> {
        current::within(self.context, self.tracer.clone(), Box::pin(work))
    }

    /// Gives it another name, once more is known.
    pub fn rename(&mut self, name: impl FnOnce() -> String) {
        if let Some(open) = &mut self.open {
            open.name = name().into();
        }
    }

    /// Adds what is known of it. It must tell nothing of data, accounts and peers.
    pub fn set(&mut self, key: &'static str, value: impl Into<SpanValue>) {
        if let Some(open) = &mut self.open {
            open.values.push((key, value.into()));
        }
    }

    /// Adds what tells something of data or accounts, where the operator has switched that on.
    pub fn set_data(&mut self, key: &'static str, value: impl FnOnce() -> String) {
        if self.tracer.tells_data() {
            self.set(key, value());
        }
    }

    /// What it is about has failed.
    pub fn fail(&mut self) {
        if let Some(open) = &mut self.open {
            open.has_failed = true;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let took = nanoseconds(open.began.elapsed());
            self.tracer.tell(EndedSpan {
                context: self.context,
                parent: open.parent,
                name: open.name,
                kind: open.kind,
                began_at: open.began_at,
                ended_at: open.began_at.saturating_add(took),
                values: open.values,
                has_failed: open.has_failed,
            });
        }
    }
}

/// Does work within a span, where there is one.
pub fn within<Work: Future>(span: Option<&Span>, work: Work) -> impl Future<Output = Work::Output> {
    let work = Box::pin(work);
    async move {
        match span {
            Some(span) => span.run(work).await,
            None => work.await,
        }
    }
}

/// Does work as a part of what is done at the moment, and notes whether it fails.
///
/// # Errors
/// Those of the work.
pub fn in_child<T, E>(
    name: &'static str,
    kind: SpanKind,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    let work = Box::pin(work);
    async move {
        let Some(mut span) = Span::child(name, kind) else {
            return work.await;
        };
        let outcome = span.run(work).await;
        if outcome.is_err() {
            span.fail();
        }
        outcome
    }
}

fn now_ns() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, nanoseconds)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
