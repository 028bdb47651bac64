use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use dm_core::{
    envelope::{ObjectId, SignedEnvelope},
    ports::{NetworkError, NotTaken, ObjectStore, PushReport, StoreError},
};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use libp2p::{PeerId, Stream};
use tokio::sync::Semaphore;

use super::newer::take_newer;
use crate::{
    node::Context,
    wire::{MAX_NAMES_PER_PIECE, OfferAnswer, Refusal, Reply, Request, Wire, WireError, encode_names},
};

/// Pushes that run at the same time.
const MAX_PUSHES: usize = 64;
/// Peers to which one object is offered.
const MAX_OFFERS: usize = 20;

/// Hands out objects, a bounded number at a time.
pub(crate) struct Pushing {
    permits: Semaphore,
}

impl Default for Pushing {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(MAX_PUSHES),
        }
    }
}

impl Pushing {
    /// Offers a stored object to the closest peers that this node knows until
    /// `copies` of them hold it; where these are too few and the network is
    /// larger than this node knows, to the closest that a walk through the DHT
    /// finds.
    ///
    /// Nothing is offered to the peers in `avoid`.
    pub(crate) async fn push(
        &self,
        context: &Context,
        id: &ObjectId,
        copies: usize,
        avoid: &[PeerId],
    ) -> Result<PushReport, NetworkError> {
        let envelope = match context.objects.envelope(id).await {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return Err(local(&StoreError::Missing)),
            Err(error) => return Err(local(&error)),
        };
        let candidates = MAX_OFFERS + avoid.len();
        let known = context.runner.known_near(&id.locator, candidates).await?;
        if known.is_empty() {
            return Ok(PushReport::default());
        }
        let _permit = self.permits.acquire().await.map_err(|_| NetworkError::Stopped)?;
        let knows_everybody = known.len() < candidates;
        let mut round = Round::new(context, &envelope, copies, avoid);
        round.offer_to(known).await?;
        if round.is_short() && !knows_everybody {
            round
                .offer_to(context.runner.find_closest(&id.locator).await?)
                .await?;
        }
        context.provide.push(id.locator);
        context
            .holder_updates
            .transferred(*id, round.holders.iter().copied());
        Ok(PushReport {
            holders: round.holders.into_iter().map(PeerId::to_base58).collect(),
            not_taken: round.not_taken,
        })
    }
}

/// One object on its way to several peers.
struct Round<'a> {
    context: &'a Context,
    envelope: &'a SignedEnvelope,
    copies: usize,
    offered: HashSet<PeerId>,
    holders: Vec<PeerId>,
    not_taken: Option<NotTaken>,
}

impl<'a> Round<'a> {
    fn new(context: &'a Context, envelope: &'a SignedEnvelope, copies: usize, avoid: &[PeerId]) -> Self {
        Self {
            context,
            envelope,
            copies,
            offered: avoid.iter().copied().chain([context.local]).collect(),
            holders: Vec::new(),
            not_taken: None,
        }
    }

    fn is_short(&self) -> bool {
        self.holders.len() < self.copies
    }

    /// Of several reasons the one that will last longest counts.
    fn note_not_taken(&mut self, reason: NotTaken) {
        self.not_taken = self.not_taken.max(Some(reason));
    }

    /// Offers to peers in their order, to as many at once as copies are missing.
    async fn offer_to(&mut self, mut candidates: Vec<PeerId>) -> Result<(), NetworkError> {
        candidates.retain(|peer| !self.context.peers.is_banned(peer) && self.offered.insert(*peer));
        // Those that could not be reached last time would only cost time.
        candidates.sort_by_key(|peer| self.context.peers.is_doubtful(peer));
        let mut candidates = candidates.into_iter();
        let mut offers = FuturesUnordered::new();
        loop {
            while self.holders.len() + offers.len() < self.copies {
                let Some(peer) = candidates.next() else { break };
                let (context, envelope) = (self.context, self.envelope);
                offers.push(async move { (peer, offer(context, peer, envelope).await) });
            }
            let Some((peer, outcome)) = offers.next().await else {
                return Ok(());
            };
            match outcome {
                Ok(OfferAnswer::Held) => self.holders.push(peer),
                Ok(OfferAnswer::Refused(Refusal::Stale)) => {
                    take_newer(self.context, peer, self.envelope).await;
                }
                Ok(answer) => {
                    tracing::debug!(%peer, ?answer, "an object was not taken");
                    self.note_not_taken(reason(answer));
                }
                Err(OfferError::Peer(error)) => {
                    tracing::debug!(%peer, %error, "an object was not handed on");
                    self.note_not_taken(NotTaken::Unreachable);
                }
                Err(OfferError::Local(error)) => return Err(local(&error)),
            }
        }
    }
}

/// Why a peer did not take an object that it was offered.
fn reason(answer: OfferAnswer) -> NotTaken {
    match answer {
        OfferAnswer::Refused(Refusal::TooLarge) => NotTaken::TooLarge,
        OfferAnswer::Refused(Refusal::Full) => NotTaken::Full,
        _ => NotTaken::Busy,
    }
}

fn local(error: &StoreError) -> NetworkError {
    NetworkError::Local(error.to_string())
}

/// Why an offer has no answer.
enum OfferError {
    Peer(WireError),
    Local(StoreError),
}

impl From<WireError> for OfferError {
    fn from(error: WireError) -> Self {
        Self::Peer(error)
    }
}

/// Offers a peer an envelope over chunks that it has; what fails is noted with
/// the peer.
pub(super) async fn offer_envelope(context: &Context, peer: PeerId, envelope: &SignedEnvelope) {
    match offer(context, peer, envelope).await {
        Ok(answer) => tracing::debug!(%peer, ?answer, "offered a newer envelope"),
        Err(OfferError::Peer(error)) => tracing::debug!(%peer, %error, "a newer envelope was not taken"),
        Err(OfferError::Local(error)) => tracing::warn!(%error, "a newer envelope was not offered"),
    }
}

async fn offer(
    context: &Context,
    peer: PeerId,
    envelope: &SignedEnvelope,
) -> Result<OfferAnswer, OfferError> {
    let failed_here: Arc<Mutex<Option<StoreError>>> = Arc::default();
    let outcome = context
        .streams
        .exchange(context, peer, |wire| {
            let (objects, envelope) = (context.objects.clone(), envelope.clone());
            let failed_here = failed_here.clone();
            let peers = context.peers.clone();
            async move {
                offer_on(wire, &*objects, &envelope, || peers.was_useful(peer))
                    .await
                    .map_err(|error| match error {
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

/// Calls `taken` once the peer has received every byte and kept it; that it has
/// the object already is only its word.
async fn offer_on(
    wire: &mut Wire<Stream>,
    objects: &dyn ObjectStore,
    envelope: &SignedEnvelope,
    taken: impl FnOnce(),
) -> Result<OfferAnswer, OfferError> {
    // The format bounds envelopes far below 4 GiB.
    let envelope_len = envelope.bytes().len() as u32;
    wire.send_with(&Request::Offer { envelope_len }, envelope.bytes())
        .await?;
    let answer = receive_answer(wire).await?;
    if answer != OfferAnswer::Wanted {
        return Ok(answer);
    }
    send_names(wire, objects, envelope).await?;
    for index in 0..envelope.chunk_count() {
        let chunk = objects
            .chunk(&envelope.id, index)
            .await
            .map_err(OfferError::Local)?;
        let len = chunk.bytes().len() as u32;
        wire.send_with(&Reply::Chunk { len }, chunk.bytes()).await?;
    }
    let answer = receive_answer(wire).await?;
    if answer == OfferAnswer::Held {
        taken();
    }
    Ok(answer)
}

async fn send_names(
    wire: &mut Wire<Stream>,
    objects: &dyn ObjectStore,
    envelope: &SignedEnvelope,
) -> Result<(), OfferError> {
    let count = envelope.chunk_count();
    let mut first = 0;
    while first < count {
        let piece = (count - first).min(u64::from(MAX_NAMES_PER_PIECE)) as usize;
        let names = objects
            .chunk_names(&envelope.id, first, piece)
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

async fn receive_answer(wire: &mut Wire<Stream>) -> Result<OfferAnswer, WireError> {
    match wire.receive().await? {
        Reply::OfferAnswer(answer) => Ok(answer),
        _ => Err(WireError::Malformed("a answer was expected")),
    }
}
