//! Reads `ExportTraceServiceRequest`, of the files `trace_service.proto`, `trace.proto`,
//! `resource.proto` and `common.proto` of opentelemetry-proto.

use std::collections::BTreeMap;

/// What one request has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Of the process.
    pub resource: BTreeMap<String, String>,
    /// Its spans.
    pub spans: Vec<ReceivedSpan>,
}

/// A span as a collector sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceivedSpan {
    /// In hexadecimal.
    pub trace_id: String,
    /// In hexadecimal.
    pub span_id: String,
    /// In hexadecimal; empty for the first span of a trace.
    pub parent_span_id: String,
    /// What was done.
    pub name: String,
    /// 1 for work within the process, 2 for a server, 3 for a client.
    pub kind: u64,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds since the Unix epoch.
    pub end: u64,
    /// What else is said of it; numbers as texts.
    pub attributes: BTreeMap<String, String>,
    /// 2 for a fault.
    pub status: u64,
}

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// Reads a request; `None` for bytes that are none.
pub(super) fn request(bytes: &[u8]) -> Option<Received> {
    let mut received = Received {
        resource: BTreeMap::new(),
        spans: Vec::new(),
    };
    for (number, field) in fields(bytes)? {
        let (1, Field::Bytes(of_resource)) = (number, field) else {
            return None;
        };
        for (number, field) in fields(of_resource)? {
            match (number, field) {
                (1, Field::Bytes(resource)) => {
                    for (_, pair) in fields(resource)? {
                        let (key, value) = pair_of(&pair)?;
                        received.resource.insert(key, value);
                    }
                }
                (2, Field::Bytes(of_scope)) => received.spans.extend(spans(of_scope)?),
                _ => return None,
            }
        }
    }
    Some(received)
}

fn spans(of_scope: &[u8]) -> Option<Vec<ReceivedSpan>> {
    let mut spans = Vec::new();
    for (number, field) in fields(of_scope)? {
        match (number, field) {
            (1, Field::Bytes(_)) => {}
            (2, Field::Bytes(bytes)) => spans.push(span(bytes)?),
            _ => return None,
        }
    }
    Some(spans)
}

fn span(bytes: &[u8]) -> Option<ReceivedSpan> {
    let mut span = ReceivedSpan::default();
    for (number, field) in fields(bytes)? {
        match (number, &field) {
            (1, Field::Bytes(id)) if id.len() == 16 => span.trace_id = hex::encode(id),
            (2, Field::Bytes(id)) if id.len() == 8 => span.span_id = hex::encode(id),
            (4, Field::Bytes(id)) if id.len() == 8 => span.parent_span_id = hex::encode(id),
            (5, Field::Bytes(name)) => span.name = text(name)?,
            (6, Field::Number(kind)) => span.kind = *kind,
            (7, Field::Fixed(time)) => span.start = *time,
            (8, Field::Fixed(time)) => span.end = *time,
            (9, pair) => {
                let (key, value) = pair_of(pair)?;
                span.attributes.insert(key, value);
            }
            (15, Field::Bytes(status)) => {
                for (number, field) in fields(status)? {
                    match (number, field) {
                        (3, Field::Number(code)) => span.status = code,
                        _ => return None,
                    }
                }
            }
            _ => return None,
        }
    }
    Some(span)
}

fn pair_of(field: &Field<'_>) -> Option<(String, String)> {
    let Field::Bytes(pair) = field else {
        return None;
    };
    let (mut key, mut value) = (String::new(), String::new());
    for (number, field) in fields(pair)? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => key = text(bytes)?,
            (2, Field::Bytes(any)) => match fields(any)?.pop()? {
                (1, Field::Bytes(bytes)) => value = text(bytes)?,
                (3, Field::Number(number)) => value = (number as i64).to_string(),
                _ => return None,
            },
            _ => return None,
        }
    }
    Some((key, value))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// The fields of a message in their order.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            1 => {
                let (fixed, rest) = bytes.split_first_chunk()?;
                bytes = rest;
                Field::Fixed(u64::from_le_bytes(*fixed))
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(value)
            }
            _ => return None,
        };
        fields.push((tag >> 3, field));
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
