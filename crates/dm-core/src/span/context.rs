//! Where a span is, as [W3C Trace Context](https://www.w3.org/TR/trace-context/) writes it.

use std::fmt;

/// Names a trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Names a span of a trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    pub(super) fn random() -> Self {
        Self(rand::random::<[u8; 16]>().or_one())
    }
}

impl SpanId {
    pub(super) fn random() -> Self {
        Self(rand::random::<[u8; 8]>().or_one())
    }
}

/// Zeros alone name nothing.
trait OrOne {
    fn or_one(self) -> Self;
}

impl<const N: usize> OrOne for [u8; N] {
    fn or_one(mut self) -> Self {
        if self == [0; N] {
            self[N - 1] = 1;
        }
        self
    }
}

macro_rules! shown_in_hexadecimal {
    ($($name:ty, $digits:literal);*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; $digits];
                // There are twice as many digits as bytes, and all of them are ASCII.
                hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
                f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

shown_in_hexadecimal!(TraceId, 32; SpanId, 16);

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Which trace.
    pub trace_id: TraceId,
    /// Which span of it.
    pub span_id: SpanId,
    /// Whether the spans of the trace are kept by somebody.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Bytes of [`TraceContext::to_bytes`].
    pub const BYTES: usize = 25;

    /// Reads the value of a `traceparent` header. `None` for one that is not valid: it counts as
    /// none. Of later versions of the standard it reads what this one knows, as the standard says.
    pub fn parse(traceparent: &[u8]) -> Option<Self> {
        const LENGTH: usize = 55;
        let (known, later) = traceparent.split_at_checked(LENGTH)?;
        let version: [u8; 1] = hexadecimal(&known[..2])?;
        let hyphens = [2, 35, 52].iter().all(|place| known[*place] == b'-');
        let ends_well = match version[0] {
            0xff => false,
            0 => later.is_empty(),
            _ => later.is_empty() || later[0] == b'-',
        };
        if !hyphens || !ends_well {
            return None;
        }
        let flags: [u8; 1] = hexadecimal(&known[53..])?;
        Self::new(
            hexadecimal(&known[3..35])?,
            hexadecimal(&known[36..52])?,
            flags[0],
        )
    }

    /// The value of a `traceparent` header.
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.is_sampled);
        format!("00-{}-{}-{flags:02x}", self.trace_id, self.span_id)
    }

    /// In the form in which it is kept, and sent to peers.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.trace_id.0);
        bytes[16..24].copy_from_slice(&self.span_id.0);
        bytes[24] = u8::from(self.is_sampled);
        bytes
    }

    /// The opposite of [`TraceContext::to_bytes`]; `None` for bytes that are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (trace_id, rest) = bytes.split_first_chunk()?;
        let (span_id, flags) = rest.split_first_chunk()?;
        Self::new(*trace_id, *span_id, flags[0])
    }

    fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            is_sampled: flags & 1 == 1,
        })
    }
}

/// The standard allows small letters alone.
fn hexadecimal<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use proptest::prelude::*;

    use super::*;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_as_the_standard_says() {
        let context = TraceContext::parse(TRACEPARENT.as_bytes()).unwrap();
        assert_eq!(context.trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id.to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled);
        assert_eq!(context.traceparent(), TRACEPARENT);
        assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = TRACEPARENT.replacen("00", "cc", 1);
        let known = TraceContext::parse(TRACEPARENT.as_bytes());
        for text in [&later, &format!("{later}-what-comes-later")] {
            assert_eq!(TraceContext::parse(text.as_bytes()), known, "{text}");
        }
        assert_eq!(TraceContext::parse(format!("{later}.").as_bytes()), None);
    }

    #[test]
    fn what_is_not_valid_counts_as_none() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            "00".to_owned(),
            "x".repeat(100_000),
            TRACEPARENT.to_uppercase(),
            TRACEPARENT.replacen("00", "ff", 1),
            format!("{TRACEPARENT}-extra"),
            format!(" {TRACEPARENT}"),
            TRACEPARENT.replace("0af7651916cd43dd8448eb211c80319c", &zeros),
            TRACEPARENT.replace("b7ad6b7169203331", &zeros[..16]),
            TRACEPARENT.replace('-', "_"),
            TRACEPARENT.replace('a', "g"),
        ] {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(TraceContext::from_bytes(&[0; TraceContext::BYTES]), None);
        assert_eq!(TraceContext::from_bytes(&[1; TraceContext::BYTES - 1]), None);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = TraceContext::parse(&bytes);
            let _ = TraceContext::from_bytes(&bytes);
        }

        #[test]
        fn what_is_read_is_written_again(text in "00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]") {
            if let Some(context) = TraceContext::parse(text.as_bytes()) {
                prop_assert_eq!(context.traceparent(), text);
            }
        }
    }
}
