use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dm_core::span::{self, Span, SpanKind};
use futures::future::BoxFuture;
use libp2p::{PeerId, Stream, StreamProtocol, swarm::ConnectionId};
use libp2p_stream::OpenStreamError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    node::Context,
    notices,
    peers::Asking,
    traffic::Traffic,
    wire::{Version, Wire, WireError},
};

/// Streams of the object protocol that this node has open with one peer, and of that of
/// notices. A peer serves a few more.
const MAX_FOR_OBJECTS: usize = 12;
const MAX_FOR_NOTICES: usize = 8;
/// Idle streams that are kept for each peer.
const MAX_IDLE: usize = 8;
/// How long an idle stream is kept: well below the time after which the other
/// side closes it.
const MAX_IDLE_TIME: Duration = Duration::from_secs(20);
/// Time to connect to a peer and open a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses before a stream that was closed at once is opened again.
const REOPEN_PAUSES: [Duration; 3] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
];
/// Peers that are remembered before unused ones are forgotten.
const MAX_PEERS: usize = 512;

/// Streams to peers, used again and again, so that a small exchange costs one
/// round trip and not a negotiation.
pub(crate) struct StreamPool {
    /// In the versions of one protocol, the newest first.
    protocols: Vec<(Version, StreamProtocol)>,
    max_of_peer: usize,
    traffic: Arc<Traffic>,
    request_timeout: Duration,
    lanes: Mutex<HashMap<PeerId, Lane>>,
}

struct Lane {
    permits: Arc<Semaphore>,
    idle: Vec<Idle>,
    /// What the peer was found to speak on this connection.
    version: Option<Version>,
}

struct Idle {
    since: Instant,
    wire: Wire<Stream>,
    connection: Option<ConnectionId>,
}

impl Lane {
    fn new(max_of_peer: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(max_of_peer)),
            idle: Vec::new(),
            version: None,
        }
    }
}

/// A stream for the use of one task.
pub(crate) struct Lease {
    pub(crate) wire: Wire<Stream>,
    peer: PeerId,
    /// What the peer's best connection was when the stream was opened.
    connection: Option<ConnectionId>,
    was_idle: bool,
    _permit: OwnedSemaphorePermit,
    _asking: Asking,
}

impl StreamPool {
    /// Streams of the object protocol.
    pub(crate) fn of_objects(traffic: Arc<Traffic>, request_timeout: Duration) -> Self {
        let protocols = Version::ALL.map(|version| (version, version.protocol()));
        Self::new(protocols.into(), MAX_FOR_OBJECTS, traffic, request_timeout)
    }

    /// Streams of the protocol of notices.
    pub(crate) fn of_notices(traffic: Arc<Traffic>, request_timeout: Duration) -> Self {
        Self::new(
            notices::PROTOCOLS.into(),
            MAX_FOR_NOTICES,
            traffic,
            request_timeout,
        )
    }

    fn new(
        protocols: Vec<(Version, StreamProtocol)>,
        max_of_peer: usize,
        traffic: Arc<Traffic>,
        request_timeout: Duration,
    ) -> Self {
        Self {
            protocols,
            max_of_peer,
            traffic,
            request_timeout,
            lanes: Mutex::default(),
        }
    }

    /// A stream to the peer, an idle one if there is one; connects if needed.
    pub(crate) async fn lease(&self, context: &Context, peer: PeerId) -> Result<Lease, WireError> {
        let permits = self.permits(peer);
        let permit = permits.acquire_owned().await.map_err(|_| WireError::Closed)?;
        let asking = context.peers.asked.begin(peer);
        if let Some(Idle { wire, connection, .. }) = self.take_idle(context, &peer) {
            return Ok(Lease {
                wire,
                peer,
                connection,
                was_idle: true,
                _permit: permit,
                _asking: asking,
            });
        }
        let (version, stream) = self.open(context, peer).await?;
        Ok(Lease {
            wire: Wire::new(stream, version, self.traffic.clone(), self.request_timeout),
            peer,
            connection: context.paths.best(&peer),
            was_idle: false,
            _permit: permit,
            _asking: asking,
        })
    }

    /// Opens a stream in the newest version that the peer speaks as well.
    async fn open(&self, context: &Context, peer: PeerId) -> Result<(Version, Stream), WireError> {
        let mut control = context.runner.streams().map_err(|_| WireError::Closed)?;
        let known = self.lock().get(&peer).and_then(|lane| lane.version);
        let offered = self.protocols.iter();
        for (version, protocol) in offered.filter(|(version, _)| known.is_none_or(|known| *version <= known))
        {
            let opening = control.open_stream(peer, protocol.clone());
            let opened = tokio::time::timeout(OPEN_TIMEOUT, opening).await;
            match opened.map_err(|_| WireError::TimedOut)? {
                Ok(stream) => {
                    self.lane(&mut self.lock(), peer).version = Some(*version);
                    return Ok((*version, stream));
                }
                Err(OpenStreamError::UnsupportedProtocol(_)) => {}
                Err(error) => return Err(WireError::Io(std::io::Error::other(error.to_string()))),
            }
        }
        Err(WireError::Unsupported)
    }

    /// Keeps a stream, on which no answer is outstanding, for the next task.
    pub(crate) fn give_back(&self, lease: Lease) {
        let mut lanes = self.lock();
        let lane = self.lane(&mut lanes, lease.peer);
        if lane.idle.len() < MAX_IDLE {
            lane.idle.push(Idle {
                since: Instant::now(),
                wire: lease.wire,
                connection: lease.connection,
            });
        }
    }

    /// Does one exchange with a peer and notes how it went. Where the stream
    /// turns out to be closed, the exchange is tried again on another, so it
    /// must be one that may happen twice.
    pub(crate) async fn exchange<T>(
        &self,
        context: &Context,
        peer: PeerId,
        exchange: impl for<'a> Fn(&'a mut Wire<Stream>) -> BoxFuture<'a, Result<T, WireError>>,
    ) -> Result<T, WireError> {
        let mut span = Span::child("peer.request", SpanKind::Client);
        let outcome = span::within(span.as_ref(), self.attempt(context, peer, exchange)).await;
        if let (Err(error), Some(span)) = (&outcome, &mut span)
            && !matches!(error, WireError::Missing | WireError::Unneeded)
        {
            span.fail();
        }
        note_outcome(context, peer, &outcome);
        outcome
    }

    async fn attempt<T>(
        &self,
        context: &Context,
        peer: PeerId,
        exchange: impl for<'a> Fn(&'a mut Wire<Stream>) -> BoxFuture<'a, Result<T, WireError>>,
    ) -> Result<T, WireError> {
        let mut pauses = REOPEN_PAUSES.iter();
        loop {
            let mut lease = match self.lease(context, peer).await {
                Ok(lease) => lease,
                Err(error) => break Err(error),
            };
            match exchange(&mut lease.wire).await {
                Ok(answer) => {
                    self.give_back(lease);
                    break Ok(answer);
                }
                // It was closed while it was idle, which says nothing.
                Err(error) if error.is_disconnect() && lease.was_idle => {}
                // A peer whose queue of new streams is full drops them.
                Err(error) if error.is_disconnect() => match pauses.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => break Err(error),
                },
                Err(error) => break Err(error),
            }
        }
    }

    /// Drops the idle streams of a peer that is gone, and what it was found to speak: it
    /// may come back with newer software.
    pub(crate) fn forget(&self, peer: &PeerId) {
        if let Some(lane) = self.lock().get_mut(peer) {
            lane.idle.clear();
            lane.version = None;
        }
    }

    fn permits(&self, peer: PeerId) -> Arc<Semaphore> {
        let mut lanes = self.lock();
        if lanes.len() >= MAX_PEERS {
            lanes.retain(|_, lane| !lane.idle.is_empty() || Arc::strong_count(&lane.permits) > 1);
        }
        self.lane(&mut lanes, peer).permits.clone()
    }

    fn lane<'a>(&self, lanes: &'a mut HashMap<PeerId, Lane>, peer: PeerId) -> &'a mut Lane {
        lanes.entry(peer).or_insert_with(|| Lane::new(self.max_of_peer))
    }

    /// A stream over the connection that is the best one now: another may have come since.
    fn take_idle(&self, context: &Context, peer: &PeerId) -> Option<Idle> {
        let best = context.paths.best(peer);
        let mut lanes = self.lock();
        let idle = &mut lanes.get_mut(peer)?.idle;
        idle.retain(|idle| idle.connection == best && idle.since.elapsed() < MAX_IDLE_TIME);
        idle.pop()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes into the peer book how an exchange went.
pub(crate) fn note_outcome<T>(context: &Context, peer: PeerId, outcome: &Result<T, WireError>) {
    match outcome {
        Ok(_) | Err(WireError::Missing | WireError::Unneeded) => context.peers.succeeded(peer),
        Err(error) if error.is_misbehaviour() => {
            context.peers.misbehaved(peer, &error.to_string());
        }
        Err(error @ WireError::Unsupported) => context.peers.not_understood(peer, &error.to_string()),
        Err(WireError::Stalled) => context.peers.stalled(peer, context.request_timeout()),
        Err(_) => context.peers.failed(peer),
    }
}
