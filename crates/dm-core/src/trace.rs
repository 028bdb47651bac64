//! What a retrieval took: which peers were asked, over which path, and what
//! each of them sent.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

/// Lines that a trace has at most; what does not fit is left out.
const MAX_LINES: usize = 256;

/// Where the bytes came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceSource {
    /// From the local store.
    #[default]
    Store,
    /// From peers.
    Network,
}

/// What a peer was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedFor {
    /// The envelopes under a locator.
    Envelopes,
    /// The names of an object's chunks.
    Names,
    /// Chunks of an object.
    Chunks,
}

/// A connection over which a peer was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerPath {
    /// The multiaddr of the other end.
    pub address: String,
    /// `tcp`, `quic` or `memory`.
    pub transport: String,
    /// Whether a relay stands between.
    pub relayed: bool,
}

/// One exchange with a peer.
#[derive(Debug, Clone)]
pub struct Exchanged {
    /// Peer id in text form.
    pub peer_id: String,
    /// The connections with the peer; where there are several, the first was used.
    pub paths: Vec<PeerPath>,
    /// What was asked for.
    pub asked_for: AskedFor,
    /// How many of these the peer sent.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// From the question to the last byte of the answer.
    pub took: Duration,
    /// Why there was no answer, or no right one.
    pub error: Option<String>,
}

/// Everything that one peer was asked for of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerTrace {
    /// Peer id in text form.
    pub peer_id: String,
    /// The connections with the peer when it was last asked; where there are
    /// several, the first was used.
    pub paths: Vec<PeerPath>,
    /// What it was asked for.
    pub asked_for: AskedFor,
    /// How often it was asked.
    pub requests: u64,
    /// How often it did not answer, or not rightly.
    pub failures: u64,
    /// Envelopes, names or chunks that it sent.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Time in all of its exchanges together, in milliseconds; several may
    /// have run at once.
    pub millis: u64,
    /// Bytes per second of one exchange, on average; `None` where it sent none.
    pub bytes_per_second: Option<u64>,
    /// The last failure.
    pub error: Option<String>,
}

/// What a retrieval took, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceReport {
    /// Where the bytes came from.
    pub source: TraceSource,
    /// Since the data was asked for, until it was all there or until now, in
    /// milliseconds.
    pub millis: u64,
    /// Whether everything was delivered.
    pub complete: bool,
    /// Chunks of the object.
    pub chunks: u64,
    /// Those of them that an earlier retrieval, which was interrupted, had
    /// kept here.
    pub chunks_kept: u64,
    /// Whether providers were looked up on the DHT.
    pub asked_dht: bool,
    /// Who was asked, in the order of the first questions.
    pub peers: Vec<PeerTrace>,
}

/// Notes what one retrieval takes; clones note into the same trace.
#[derive(Debug, Clone)]
pub struct Trace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    begun: Instant,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    source: TraceSource,
    ended: Option<Duration>,
    chunks: u64,
    chunks_kept: u64,
    asked_dht: bool,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    requests: u64,
    failures: u64,
    total: Exchanged,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                begun: Instant::now(),
                notes: Mutex::default(),
            }),
        }
    }
}

impl Trace {
    /// The data has this many chunks and comes from there.
    pub fn comes_from(&self, source: TraceSource, chunks: u64) {
        let mut notes = self.notes();
        notes.source = source;
        notes.chunks = chunks;
    }

    /// A chunk was here since an earlier retrieval.
    pub fn kept_chunk(&self) {
        self.notes().chunks_kept += 1;
    }

    /// Providers are looked up on the DHT.
    pub fn asked_dht(&self) {
        self.notes().asked_dht = true;
    }

    /// Everything was delivered.
    pub fn completed(&self) {
        let took = self.inner.begun.elapsed();
        self.notes().ended.get_or_insert(took);
    }

    /// A peer was asked.
    pub fn exchanged(&self, exchange: Exchanged) {
        let mut notes = self.notes();
        let same = |line: &&mut Line| {
            line.total.peer_id == exchange.peer_id && line.total.asked_for == exchange.asked_for
        };
        if let Some(line) = notes.lines.iter_mut().find(same) {
            line.add(exchange);
        } else if notes.lines.len() < MAX_LINES {
            notes.lines.push(Line {
                requests: 1,
                failures: u64::from(exchange.error.is_some()),
                total: exchange,
            });
        }
    }

    /// What has been noted so far.
    pub fn report(&self) -> TraceReport {
        let notes = self.notes();
        let took = notes.ended.unwrap_or_else(|| self.inner.begun.elapsed());
        TraceReport {
            source: notes.source,
            millis: millis(took),
            complete: notes.ended.is_some(),
            chunks: notes.chunks,
            chunks_kept: notes.chunks_kept,
            asked_dht: notes.asked_dht,
            peers: notes.lines.iter().map(Line::report).collect(),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.inner.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn add(&mut self, exchange: Exchanged) {
        self.requests += 1;
        self.failures += u64::from(exchange.error.is_some());
        let total = &mut self.total;
        total.items += exchange.items;
        total.bytes += exchange.bytes;
        total.took = total.took.saturating_add(exchange.took);
        total.error = exchange.error.or_else(|| total.error.take());
        if !exchange.paths.is_empty() {
            total.paths = exchange.paths;
        }
    }

    fn report(&self) -> PeerTrace {
        let total = self.total.clone();
        let seconds = total.took.as_secs_f64();
        PeerTrace {
            peer_id: total.peer_id,
            paths: total.paths,
            asked_for: total.asked_for,
            requests: self.requests,
            failures: self.failures,
            items: total.items,
            bytes: total.bytes,
            millis: millis(total.took),
            bytes_per_second: (total.bytes > 0 && seconds > 0.0)
                .then(|| (total.bytes as f64 / seconds) as u64),
            error: total.error,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(peer: &str, asked_for: AskedFor, bytes: u64, error: Option<&str>) -> Exchanged {
        Exchanged {
            peer_id: peer.to_owned(),
            paths: vec![],
            asked_for,
            items: bytes / 100,
            bytes,
            took: Duration::from_millis(500),
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn exchanges_of_one_kind_with_one_peer_are_one_line() {
        let trace = Trace::default();
        trace.exchanged(exchange("a", AskedFor::Chunks, 1000, None));
        trace.exchanged(exchange("b", AskedFor::Chunks, 0, Some("stalled")));
        trace.exchanged(exchange("a", AskedFor::Names, 300, None));
        trace.exchanged(exchange("a", AskedFor::Chunks, 3000, None));
        let report = trace.report();
        assert_eq!(report.peers.len(), 3);
        let first = &report.peers[0];
        assert_eq!((first.requests, first.failures, first.items), (2, 0, 40));
        assert_eq!((first.bytes, first.millis), (4000, 1000));
        assert_eq!(first.bytes_per_second, Some(4000));
        assert_eq!(report.peers[1].failures, 1);
        assert_eq!(report.peers[1].bytes_per_second, None);
        assert_eq!(report.peers[1].error.as_deref(), Some("stalled"));
    }

    #[test]
    fn a_trace_is_bounded_and_stands_still_when_all_is_delivered() {
        let trace = Trace::default();
        for peer in 0..2 * MAX_LINES {
            trace.exchanged(exchange(&peer.to_string(), AskedFor::Envelopes, 0, None));
        }
        trace.comes_from(TraceSource::Network, 7);
        trace.kept_chunk();
        assert!(!trace.report().complete);
        trace.completed();
        let report = trace.report();
        assert_eq!(report.peers.len(), MAX_LINES);
        assert_eq!((report.chunks, report.chunks_kept), (7, 1));
        assert_eq!(trace.report(), report);
    }
}
