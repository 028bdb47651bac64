//! Who is told of spans, and of which.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{EndedSpan, Span, SpanId, SpanKind, TraceContext, TraceId};

/// Is told of spans when they have ended. It must not wait for anybody: whoever does the work
/// tells of it.
pub trait SpanSink: Send + Sync + fmt::Debug {
    /// Takes a span, or leaves it where there is no room.
    fn take(&self, span: EndedSpan);
}

/// Begins spans and tells of them; cheap to clone. By default nobody is told, and traces have
/// ids all the same.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Recording>>);

#[derive(Debug)]
struct Recording {
    sink: Arc<dyn SpanSink>,
    /// A trace that begins here is recorded where the last half of its id is below this.
    below: u64,
    all: bool,
    tells_data: bool,
}

impl Tracer {
    /// Tells `sink` of this part (0 to 1) of the traces that begin here, and of all those of which
    /// the caller says that they are recorded.
    pub fn new(sink: Arc<dyn SpanSink>, part: f64, tells_data: bool) -> Self {
        Self(Some(Arc::new(Recording {
            sink,
            // Saturates at both ends.
            below: (part * u64::MAX as f64) as u64,
            all: part >= 1.0,
            tells_data,
        })))
    }

    /// Whether somebody is told of anything.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span in the caller's trace, or a trace of its own.
    pub fn begin(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        caller: Option<TraceContext>,
    ) -> Span {
        let context = match caller {
            Some(caller) => TraceContext {
                span_id: SpanId::random(),
                ..caller
            },
            None => self.new_trace(),
        };
        Span::begin(
            context,
            self.clone(),
            caller.map(|caller| caller.span_id),
            name,
            kind,
        )
    }

    /// Begins a span in the caller's trace, where that is recorded here.
    pub fn begin_recorded(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        caller: Option<TraceContext>,
    ) -> Option<Span> {
        let caller = caller.filter(|caller| self.records(caller))?;
        Some(self.begin(name, kind, Some(caller)))
    }

    /// Tells of a span whose times are known already, in milliseconds since the Unix epoch.
    pub fn tell_past(&self, name: &'static str, parent: &TraceContext, began_at: u64, ended_at: u64) {
        if self.records(parent) {
            self.tell(EndedSpan {
                context: TraceContext {
                    span_id: SpanId::random(),
                    ..*parent
                },
                parent: Some(parent.span_id),
                name: name.into(),
                kind: SpanKind::Internal,
                began_at: began_at.saturating_mul(1_000_000),
                ended_at: ended_at.max(began_at).saturating_mul(1_000_000),
                values: Vec::new(),
                has_failed: false,
            });
        }
    }

    pub(super) fn tell(&self, span: EndedSpan) {
        if let Some(recording) = &self.0 {
            recording.sink.take(span);
        }
    }

    pub(super) fn records(&self, context: &TraceContext) -> bool {
        self.0.is_some() && context.is_sampled
    }

    pub(super) fn tells_data(&self) -> bool {
        self.0.as_ref().is_some_and(|recording| recording.tells_data)
    }

    fn new_trace(&self) -> TraceContext {
        let trace_id = TraceId::random();
        let last_half = u64::from_be_bytes(trace_id.0.last_chunk().copied().unwrap_or_default());
        let is_sampled = self
            .0
            .as_ref()
            .is_some_and(|recording| recording.all || last_half < recording.below);
        TraceContext {
            trace_id,
            span_id: SpanId::random(),
            is_sampled,
        }
    }
}
