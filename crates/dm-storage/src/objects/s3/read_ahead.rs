//! Reads ahead for readers that go through a body from chunk to chunk: a request for each
//! chunk would wait a round trip for every 256 KiB.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dm_core::envelope::Envelope;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use object_store::path::Path;

use super::{client::Client, fault::Fault};
use crate::objects::{
    layout::{GROUP_CHUNKS, chunk_offset},
    record::BodyId,
};

/// Chunks that are read at once: 2 MiB. Groups begin with a run.
const RUN: u64 = 8;
/// Runs of one body in memory.
const MAX_RUNS: usize = 3;
/// Bodies that are read ahead at the same time: with their runs 48 MiB.
const MAX_BODIES: usize = 8;
/// How long nothing is read of a body before another one takes its place.
const IDLE: Duration = Duration::from_secs(5);

const _: () = assert!(GROUP_CHUNKS.is_multiple_of(RUN), "a run is in one group");

/// What is read ahead.
#[derive(Default)]
pub(super) struct ReadAhead(Mutex<HashMap<BodyId, Readers>>);

/// Those who read one body.
struct Readers {
    /// When something was read last.
    used: Instant,
    /// The chunk behind the one that was read last outside of all runs.
    next: u64,
    /// Whether it is read here and there: then reading ahead would read in vain.
    are_scattered: bool,
    /// Oldest first.
    runs: Vec<Run>,
}

struct Run {
    number: u64,
    /// How often a chunk was taken from it.
    taken: u64,
    bytes: SharedBytes,
}

type SharedBytes = Shared<BoxFuture<'static, Result<Bytes, Fault>>>;

/// Whose chunks are read.
pub(super) struct Source<'a> {
    pub(super) client: &'a Client,
    pub(super) key: Path,
    pub(super) body: BodyId,
    pub(super) envelope: &'a Envelope,
}

impl ReadAhead {
    /// The bytes of a chunk; `None` where it has to be read by itself.
    pub(super) async fn chunk(&self, source: Source<'_>, index: u64) -> Option<Result<Bytes, Fault>> {
        let len = source.envelope.chunk_len(index) as usize;
        let bytes = self.run_with(&source, index)?;
        let begin = (chunk_offset(index) - chunk_offset(index / RUN * RUN)) as usize;
        Some(bytes.await.map(|bytes| bytes.slice(begin..begin + len)))
    }

    /// The run with a chunk, and the next one is begun, where its reader has come from the
    /// chunk before.
    fn run_with(&self, source: &Source<'_>, index: u64) -> Option<SharedBytes> {
        let mut bodies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.retain(|_, readers| readers.used.elapsed() < IDLE);
        if !bodies.contains_key(&source.body) && bodies.len() >= MAX_BODIES {
            return None;
        }
        let readers = bodies.entry(source.body).or_insert_with(|| Readers {
            used: Instant::now(),
            next: u64::MAX,
            are_scattered: false,
            runs: Vec::new(),
        });
        readers.used = Instant::now();
        // The store may have come back since.
        readers
            .runs
            .retain(|run| !matches!(run.bytes.peek(), Some(Err(_))));
        let number = index / RUN;
        let is_sequential = index == std::mem::replace(&mut readers.next, index + 1);
        if !readers.has(number) && (!is_sequential || readers.are_scattered) {
            return None;
        }
        readers.begin(source, number);
        readers.begin(source, number + 1);
        readers.take(number)
    }
}

impl Readers {
    fn has(&self, number: u64) -> bool {
        self.runs.iter().any(|run| run.number == number)
    }

    fn take(&mut self, number: u64) -> Option<SharedBytes> {
        let run = self.runs.iter_mut().find(|run| run.number == number)?;
        run.taken += 1;
        Some(run.bytes.clone())
    }

    /// Begins a run that is not there and not behind the end.
    fn begin(&mut self, source: &Source<'_>, number: u64) {
        if self.has(number) {
            return;
        }
        let Some(bytes) = begin(source, number) else {
            return;
        };
        if self.runs.len() >= MAX_RUNS {
            let oldest = self.runs.remove(0);
            self.are_scattered |= oldest.taken < RUN / 2;
        }
        self.runs.push(Run {
            number,
            taken: 0,
            bytes,
        });
    }
}

/// Begins to read a run, also where nobody waits for it yet.
fn begin(source: &Source<'_>, number: u64) -> Option<SharedBytes> {
    let range = run_range(source.envelope, number)?;
    let (client, key) = (source.client.clone(), source.key.clone());
    let reading = source
        .client
        .runtime()
        .spawn(async move { client.read(&key, range).await.map(|(bytes, _)| bytes) });
    let bytes = reading.map(|read| read.unwrap_or_else(|error| Err(Fault::Passing(error.to_string()))));
    Some(bytes.boxed().shared())
}

/// Where the chunks of a run are.
fn run_range(envelope: &Envelope, number: u64) -> Option<Range<u64>> {
    let first = number * RUN;
    let last = (first + RUN).min(envelope.chunk_count()).checked_sub(1)?;
    (first <= last).then(|| chunk_offset(first)..chunk_offset(last) + envelope.chunk_len(last))
}
