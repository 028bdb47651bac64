use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dm_core::{
    envelope::{MAX_CHUNK_BYTES, SignedEnvelope},
    hash::ChunkName,
    ports::{FetchError, Found},
    span::in_same_trace,
    trace::{AskedFor, Trace},
};
use futures::{FutureExt, StreamExt, stream::BoxStream};
use libp2p::{PeerId, Stream};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::{
    exchange_trace::trace_exchange,
    holder_pool::HolderPool,
    names::fetch_names,
    plan::{Plan, Run},
};
use crate::{
    node::Context,
    wire::{Reply, Request, Wire, WireError},
};

/// Chunks that may wait for the reader, beside those of the plan: 1 MiB.
const BUFFER: usize = 4;
/// How often a slow holder may be overtaken.
const PULSE: Duration = Duration::from_millis(250);

/// Makes of the bytes of a chunk what is handed on; `None` where they do not have its name.
/// Keeps a core busy.
pub(crate) type Check<T> = Arc<dyn Fn(ChunkName, Bytes) -> Option<T> + Send + Sync>;

/// The chunks of an object from `first` on in their order, each checked;
/// fetching begins when the stream is first read and ends when it is dropped.
pub(crate) fn fetch<T: Send + 'static>(
    context: Arc<Context>,
    found: &Found,
    first: u64,
    check: Check<T>,
    trace: &Trace,
) -> BoxStream<'static, Result<T, FetchError>> {
    let envelope = found.envelope.clone();
    if first >= envelope.chunk_count() {
        return futures::stream::empty().boxed();
    }
    let wanted = Wanted {
        envelope,
        first,
        trace: trace.clone(),
    };
    let holders: Vec<PeerId> = found
        .holders
        .iter()
        .filter_map(|holder| holder.parse().ok())
        .collect();
    let begin = async move {
        let (sender, receiver) = mpsc::channel(BUFFER);
        tokio::spawn(in_same_trace(fetch_into(context, wanted, holders, check, sender)));
        ReceiverStream::new(receiver)
    };
    futures::stream::once(in_same_trace(begin)).flatten().boxed()
}

/// What is asked for.
struct Wanted {
    envelope: SignedEnvelope,
    /// Index of the first chunk.
    first: u64,
    trace: Trace,
}

async fn fetch_into<T: Send + 'static>(
    context: Arc<Context>,
    wanted: Wanted,
    holders: Vec<PeerId>,
    check: Check<T>,
    reader: mpsc::Sender<Result<T, FetchError>>,
) {
    let mut pool = HolderPool::new(
        holders
            .into_iter()
            .filter(|holder| !context.peers.is_banned(holder)),
    );
    let names = tokio::select! {
        () = reader.closed() => return,
        names = fetch_names(&context, &wanted.envelope, &mut pool, &wanted.trace) => names,
    };
    let outcome = match names {
        Ok(names) => {
            Fetch::new(context.clone(), wanted, names, pool, check)
                .run(&reader)
                .await
        }
        Err(reason) => Err(reason),
    };
    if let Err(reason) = outcome {
        let error = if context.runner.is_connected() {
            FetchError::NoHolder(reason)
        } else {
            FetchError::Stopped
        };
        // Nobody reads an error after the stream was dropped.
        let _ = reader.send(Err(error)).await;
    }
}

/// One object being fetched.
struct Fetch<T> {
    context: Arc<Context>,
    source: Arc<Source<T>>,
    plan: Plan<T>,
    pool: HolderPool,
    lanes: JoinSet<LaneEnd<T>>,
    last_error: String,
}

/// What is being fetched.
struct Source<T> {
    envelope: SignedEnvelope,
    names: Arc<[ChunkName]>,
    check: Check<T>,
    trace: Trace,
    /// Everything was handed on: what is still under way is not needed.
    complete: CancellationToken,
}

impl<T> Source<T> {
    /// Whether anybody waits for chunks.
    fn check_need(&self) -> Result<(), WireError> {
        if self.complete.is_cancelled() {
            Err(WireError::Unneeded)
        } else {
            Ok(())
        }
    }
}

/// How a lane ended.
struct LaneEnd<T> {
    holder: PeerId,
    run: Run,
    outcome: Result<Received<T>, WireError>,
}

/// What came of a run.
struct Received<T> {
    chunks: Vec<T>,
    /// Their bytes.
    bytes: usize,
}

impl<T: Send + 'static> Fetch<T> {
    fn new(
        context: Arc<Context>,
        wanted: Wanted,
        names: Arc<[ChunkName]>,
        pool: HolderPool,
        check: Check<T>,
    ) -> Self {
        let Wanted {
            envelope,
            first,
            trace,
        } = wanted;
        let source = Source {
            envelope,
            names,
            check,
            trace,
            complete: CancellationToken::new(),
        };
        Self {
            context,
            plan: Plan::new(first, source.envelope.chunk_count()),
            source: Arc::new(source),
            pool,
            lanes: JoinSet::new(),
            last_error: String::new(),
        }
    }

    /// Hands chunks to the reader until all are there, the reader has gone,
    /// or no holder is left.
    async fn run(mut self, reader: &mpsc::Sender<Result<T, FetchError>>) -> Result<(), String> {
        while !self.plan.is_done() {
            self.start_lanes();
            if self.lanes.is_empty() && !self.plan.has_ready() {
                return Err(self.last_error);
            }
            tokio::select! {
                slot = reader.reserve(), if self.plan.has_ready() => match (slot, self.plan.take_ready()) {
                    (Ok(slot), Some(chunk)) => slot.send(Ok(chunk)),
                    _ => return Ok(()),
                },
                Some(end) = self.lanes.join_next() => self.on_lane_end(end),
                () = tokio::time::sleep(PULSE) => {}
                () = reader.closed() => return Ok(()),
            }
        }
        self.wind_up();
        Ok(())
    }

    /// Leaves the lanes alone that were overtaken. One whose holder delivers
    /// ends with its next chunk; where nothing moves, that is found out and
    /// scored, although the object is here.
    fn wind_up(self) {
        let Self {
            source, mut lanes, ..
        } = self;
        source.complete.cancel();
        tokio::spawn(async move { while lanes.join_next().await.is_some() {} });
    }

    fn start_lanes(&mut self) {
        loop {
            let mut started = false;
            for holder in self.pool.activate() {
                if let Some(run) = self.plan.assign(holder, Instant::now()) {
                    self.pool.lane_started(&holder);
                    let lane = lane(self.context.clone(), self.source.clone(), holder, run);
                    self.lanes.spawn(in_same_trace(lane));
                    started = true;
                }
            }
            if !started {
                return;
            }
        }
    }

    fn on_lane_end(&mut self, end: Result<LaneEnd<T>, JoinError>) {
        let LaneEnd { holder, run, outcome } = match end {
            Ok(end) => end,
            // Lanes neither panic nor are aborted while anybody waits for them.
            Err(error) => return tracing::error!(%error, "fetching chunks failed"),
        };
        self.pool.lane_ended(&holder);
        match outcome {
            Ok(received) => {
                self.context.peers.was_useful(holder);
                self.plan.arrived(holder, run, received.chunks, Instant::now());
            }
            Err(error) => {
                tracing::debug!(%holder, %error, "a holder did not deliver");
                if matches!(error, WireError::Missing) {
                    // It had given out the envelope.
                    self.context.peers.disturbed(holder, "it withholds a chunk");
                }
                self.last_error = error.to_string();
                self.pool.remove(&holder);
                self.plan.failed(holder, run);
            }
        }
    }
}

async fn lane<T: Send + 'static>(
    context: Arc<Context>,
    source: Arc<Source<T>>,
    holder: PeerId,
    run: Run,
) -> LaneEnd<T> {
    let exchange = context.streams.exchange(&context, holder, |wire| {
        let source = source.clone();
        async move { run_on(wire, &source, run).await }.boxed()
    });
    let count = |received: &Received<T>| (received.chunks.len(), received.bytes);
    let outcome = trace_exchange(&context, &source.trace, holder, AskedFor::Chunks, count, exchange).await;
    LaneEnd { holder, run, outcome }
}

/// Receives a run; each chunk is checked while the next one arrives.
async fn run_on<T: Send + 'static>(
    wire: &mut Wire<Stream>,
    source: &Source<T>,
    run: Run,
) -> Result<Received<T>, WireError> {
    let Run { first, count } = run;
    let id = source.envelope.id;
    source.check_need()?;
    wire.send(&Request::Chunks { id, first, count }).await?;
    let mut checks = Vec::with_capacity(count as usize);
    let mut received = 0;
    for index in first..first + u64::from(count) {
        source.check_need()?;
        let bytes = match wire.receive().await? {
            Reply::Chunk { len } if u64::from(len) == source.envelope.chunk_len(index) => {
                wire.receive_bytes(len as usize, MAX_CHUNK_BYTES).await?
            }
            Reply::Chunk { .. } => return Err(WireError::Malformed("a chunk has another length")),
            Reply::Missing => return Err(WireError::Missing),
            _ => return Err(WireError::Malformed("a chunk was expected")),
        };
        received += bytes.len();
        let (name, check) = (source.names[index as usize], source.check.clone());
        checks.push(tokio::task::spawn_blocking(move || check(name, bytes)));
    }
    let mut chunks = Vec::with_capacity(checks.len());
    for check in checks {
        match check.await {
            Ok(Some(chunk)) => chunks.push(chunk),
            _ => return Err(WireError::Malformed("a chunk does not have its name")),
        }
    }
    Ok(Received {
        chunks,
        bytes: received,
    })
}
