//! Offers an object to a peer, and sends it where the peer wants it. Where the connection
//! ends before the object does, the next attempt goes on where the last one was.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dm_core::{
    envelope::SignedEnvelope,
    ports::{ObjectStore, StoreError},
};
use futures::FutureExt;
use libp2p::{PeerId, Stream};

use crate::{
    node::Context,
    wire::{MAX_NAMES_PER_PIECE, OfferAnswer, Reply, Request, Wire, WireError, encode_names},
};

/// Attempts to send one object to a peer. Each has to begin behind the one before.
const MAX_ATTEMPTS: usize = 64;
/// Time for a peer to check what it has of an object.
const CHECKING: Duration = Duration::from_secs(5 * 60);

/// Why an offer has no answer.
pub(super) enum OfferError {
    Peer(WireError),
    Local(StoreError),
}

impl From<WireError> for OfferError {
    fn from(error: WireError) -> Self {
        Self::Peer(error)
    }
}

/// How far an offer has come.
#[derive(Default)]
pub(super) struct OfferProgress {
    has_begun: AtomicBool,
    is_unneeded: AtomicBool,
    first: AtomicU64,
}

impl OfferProgress {
    /// Whether the peer wants the object, and gets it.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Others have taken the object: unless the peer has begun to, it need not.
    pub(super) fn not_needed(&self) {
        self.is_unneeded.store(true, Ordering::Relaxed);
    }

    fn begin(&self) -> Result<(), WireError> {
        if self.is_unneeded.load(Ordering::Relaxed) && !self.has_begun() {
            return Err(WireError::Unneeded);
        }
        self.has_begun.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The index of the chunk with which the last attempt began.
    fn first(&self) -> u64 {
        self.first.load(Ordering::Relaxed)
    }
}

/// Offers a peer an envelope over chunks that it has; what fails is noted with
/// the peer.
pub(super) async fn offer_envelope(context: &Context, peer: PeerId, envelope: &SignedEnvelope) {
    match offer(context, peer, envelope, &Arc::default()).await {
        Ok(answer) => tracing::debug!(%peer, ?answer, "offered a newer envelope"),
        Err(OfferError::Peer(error)) => tracing::debug!(%peer, %error, "a newer envelope was not taken"),
        Err(OfferError::Local(error)) => tracing::warn!(%error, "a newer envelope was not offered"),
    }
}

/// Offers an object to a peer until it has answered, or does not get further with it.
pub(super) async fn offer(
    context: &Context,
    peer: PeerId,
    envelope: &SignedEnvelope,
    progress: &Arc<OfferProgress>,
) -> Result<OfferAnswer, OfferError> {
    let mut furthest = 0;
    for _ in 1..MAX_ATTEMPTS {
        match attempt(context, peer, envelope, progress).await {
            Err(OfferError::Peer(error)) if may_go_on(&error) && progress.first() > furthest => {
                furthest = progress.first();
                tracing::debug!(%peer, furthest, %error, "goes on with an object that was cut off");
            }
            outcome => return noted(context, peer, progress, outcome),
        }
    }
    let outcome = attempt(context, peer, envelope, progress).await;
    noted(context, peer, progress, outcome)
}

fn may_go_on(error: &WireError) -> bool {
    error.is_disconnect() || matches!(error, WireError::TimedOut)
}

/// A peer that wanted an object and did not take it is asked after others.
fn noted(
    context: &Context,
    peer: PeerId,
    progress: &OfferProgress,
    outcome: Result<OfferAnswer, OfferError>,
) -> Result<OfferAnswer, OfferError> {
    match &outcome {
        Ok(OfferAnswer::Held) | Err(OfferError::Local(_) | OfferError::Peer(WireError::Unneeded)) => {}
        _ if progress.has_begun() => context.peers.broke_off(peer),
        _ => {}
    }
    outcome
}

async fn attempt(
    context: &Context,
    peer: PeerId,
    envelope: &SignedEnvelope,
    progress: &Arc<OfferProgress>,
) -> Result<OfferAnswer, OfferError> {
    let failed_here: Arc<Mutex<Option<StoreError>>> = Arc::default();
    let asked = Instant::now();
    let outcome = context
        .streams
        .exchange(context, peer, |wire| {
            let sending = Sending {
                objects: context.objects.clone(),
                envelope: envelope.clone(),
                progress: progress.clone(),
            };
            let failed_here = failed_here.clone();
            let peers = context.peers.clone();
            async move {
                let answered = || peers.answer_times.note(peer, asked.elapsed());
                let outcome = sending.offer_on(wire, answered).await;
                if matches!(outcome, Ok((OfferAnswer::Held, true))) {
                    peers.was_useful(peer);
                }
                outcome.map(|(answer, _)| answer).map_err(|error| match error {
                    OfferError::Peer(error) => error,
                    OfferError::Local(error) => {
                        *failed_here.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        WireError::Missing
                    }
                })
            }
            .boxed()
        })
        .await;
    let failed_here = failed_here.lock().unwrap_or_else(PoisonError::into_inner).take();
    match failed_here {
        Some(error) => Err(OfferError::Local(error)),
        None => Ok(outcome?),
    }
}

/// What is being offered.
struct Sending {
    objects: Arc<dyn ObjectStore>,
    envelope: SignedEnvelope,
    progress: Arc<OfferProgress>,
}

impl Sending {
    /// The answer, and whether the peer has received every byte and kept it: that it has
    /// the object already is only its word. Calls `answered` when it first answers.
    async fn offer_on(
        &self,
        wire: &mut Wire<Stream>,
        answered: impl FnOnce(),
    ) -> Result<(OfferAnswer, bool), OfferError> {
        // The format bounds envelopes far below 4 GiB.
        let envelope_len = self.envelope.bytes().len() as u32;
        wire.send_with(&Request::Offer { envelope_len }, self.envelope.bytes())
            .await?;
        let reply: Reply = wire.receive().await?;
        answered();
        let resumes = match reply {
            Reply::OfferAnswer(OfferAnswer::Wanted) => false,
            Reply::Resumes => true,
            Reply::OfferAnswer(answer) => return Ok((answer, false)),
            _ => return Err(WireError::Malformed("an answer was expected").into()),
        };
        self.progress.begin()?;
        self.send_names(wire).await?;
        let first = if resumes {
            self.receive_first(wire).await?
        } else {
            0
        };
        self.progress.first.store(first, Ordering::Relaxed);
        self.send_chunks(wire, first).await?;
        match wire.receive().await? {
            Reply::OfferAnswer(answer) => Ok((answer, true)),
            _ => Err(WireError::Malformed("an answer was expected").into()),
        }
    }

    async fn send_names(&self, wire: &mut Wire<Stream>) -> Result<(), OfferError> {
        let count = self.envelope.chunk_count();
        let mut first = 0;
        while first < count {
            let piece = (count - first).min(u64::from(MAX_NAMES_PER_PIECE)) as usize;
            let names = self
                .objects
                .chunk_names(&self.envelope.id, first, piece)
                .await
                .map_err(OfferError::Local)?;
            if names.len() != piece {
                return Err(OfferError::Local(StoreError::Missing));
            }
            wire.send_bytes(&encode_names(&names)).await?;
            first += piece as u64;
        }
        Ok(())
    }

    /// The first chunk that the peer does not have, once it has looked.
    async fn receive_first(&self, wire: &mut Wire<Stream>) -> Result<u64, WireError> {
        match wire.receive_within(CHECKING).await? {
            Reply::WantedFrom { first } if first <= self.envelope.chunk_count() => Ok(first),
            _ => Err(WireError::Malformed(
                "the first chunk that is wanted was expected",
            )),
        }
    }

    async fn send_chunks(&self, wire: &mut Wire<Stream>, first: u64) -> Result<(), OfferError> {
        for index in first..self.envelope.chunk_count() {
            let chunk = self
                .objects
                .chunk(&self.envelope.id, index)
                .await
                .map_err(OfferError::Local)?;
            let len = chunk.bytes().len() as u32;
            wire.send_with(&Reply::Chunk { len }, chunk.bytes()).await?;
        }
        Ok(())
    }
}
