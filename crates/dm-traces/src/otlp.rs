//! Spans as an `ExportTraceServiceRequest` of
//! [OTLP](https://github.com/open-telemetry/opentelemetry-proto), in binary protobuf.

use dm_core::span::{EndedSpan, SpanKind, SpanValue};

use crate::protobuf::Message;

/// Media type of the request.
pub(crate) const MEDIA_TYPE: &str = "application/x-protobuf";
/// Bytes that a span needs, about.
const BYTES_OF_SPAN: usize = 256;
/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: u64 = 2;

/// The process whose spans they are.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    /// Version of the program.
    pub(crate) version: &'static str,
    /// Tells this process from all others, by chance.
    pub(crate) instance: String,
}

/// The request that brings these spans.
pub(crate) fn request(resource: &Resource, spans: &[EndedSpan]) -> Vec<u8> {
    let mut request = Message::with_capacity(BYTES_OF_SPAN * (spans.len() + 1));
    // resource_spans
    request.message(1, |of_resource| {
        // resource
        of_resource.message(1, |described| {
            attribute(described, 1, "service.name", &"dm-node".into());
            attribute(described, 1, "service.version", &resource.version.into());
            let instance = SpanValue::from(resource.instance.clone());
            attribute(described, 1, "service.instance.id", &instance);
        });
        // scope_spans
        of_resource.message(2, |of_scope| {
            // scope
            of_scope.message(1, |scope| scope.delimited(1, b"dm-node"));
            for ended in spans {
                of_scope.message(2, |written| span(written, ended));
            }
        });
    });
    request.bytes()
}

fn span(written: &mut Message, ended: &EndedSpan) {
    written.delimited(1, &ended.context.trace_id.0);
    written.delimited(2, &ended.context.span_id.0);
    if let Some(parent) = ended.parent {
        written.delimited(4, &parent.0);
    }
    written.delimited(5, ended.name.as_bytes());
    written.number(6, kind(ended.kind));
    written.fixed(7, ended.began_at);
    written.fixed(8, ended.ended_at);
    for (key, value) in &ended.values {
        attribute(written, 9, key, value);
    }
    if ended.has_failed {
        written.message(15, |status| status.number(3, STATUS_ERROR));
    }
}

const fn kind(kind: SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    }
}

/// A `KeyValue`.
fn attribute(written: &mut Message, field: u32, key: &str, value: &SpanValue) {
    written.message(field, |pair| {
        pair.delimited(1, key.as_bytes());
        pair.message(2, |any| match value {
            SpanValue::Text(text) => any.delimited(1, text.as_bytes()),
            // A negative one is written as its two's complement.
            SpanValue::Number(number) => any.number(3, *number as u64),
        });
    });
}
