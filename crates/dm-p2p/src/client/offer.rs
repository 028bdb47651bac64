//! Offers an object to a peer, and sends it where the peer wants it. Where the connection
//! ends before the object does, the next attempt goes on where the last one was.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dm_core::{
    envelope::SignedEnvelope,
    ports::{ObjectStore, StoreError},
};
use futures::FutureExt;
use libp2p::{PeerId, Stream};

use super::takers::Takers;
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

/// Offers a peer an envelope over chunks that it has; what fails is noted with
/// the peer.
pub(super) async fn offer_envelope(context: &Context, peer: PeerId, envelope: &SignedEnvelope) {
    match offer(context, peer, envelope, &Takers::new(1)).await {
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
    takers: &Arc<Takers>,
) -> Result<OfferAnswer, OfferError> {
    let (transfer, mut furthest) = (Arc::<Transfer>::default(), 0);
    let mut attempts = 1..MAX_ATTEMPTS;
    let outcome = loop {
        match attempt(context, peer, envelope, takers, &transfer).await {
            Err(OfferError::Peer(error))
                if may_go_on(&error) && transfer.first() > furthest && attempts.next().is_some() =>
            {
                furthest = transfer.first();
                tracing::debug!(%peer, furthest, %error, "goes on with an object that was cut off");
            }
            outcome => break outcome,
        }
    };
    let took_part = takers.ended(&peer);
    let is_faultless = matches!(
        outcome,
        Ok(OfferAnswer::Held) | Err(OfferError::Local(_) | OfferError::Peer(WireError::Unneeded))
    );
    if took_part && !is_faultless {
        // It wanted the object and did not take it: others are asked before it.
        context.peers.broke_off(peer);
    }
    outcome
}

fn may_go_on(error: &WireError) -> bool {
    error.is_disconnect() || matches!(error, WireError::TimedOut)
}

async fn attempt(
    context: &Context,
    peer: PeerId,
    envelope: &SignedEnvelope,
    takers: &Arc<Takers>,
    transfer: &Arc<Transfer>,
) -> Result<OfferAnswer, OfferError> {
    let failed_here: Arc<Mutex<Option<StoreError>>> = Arc::default();
    let asked = Instant::now();
    let outcome = context
        .streams
        .exchange(context, peer, |wire| {
            let sending = Sending {
                objects: context.objects.clone(),
                envelope: envelope.clone(),
                peer,
                takers: takers.clone(),
                transfer: transfer.clone(),
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
    peer: PeerId,
    takers: Arc<Takers>,
    transfer: Arc<Transfer>,
}

/// How far the attempts to send an object have come.
#[derive(Default)]
struct Transfer {
    /// Index of the chunk with which the last attempt began.
    first: AtomicU64,
    /// So many of the first chunks were sent.
    sent: AtomicU64,
}

impl Transfer {
    fn first(&self) -> u64 {
        self.first.load(Ordering::Relaxed)
    }

    fn begins_at(&self, first: u64) {
        self.first.store(first, Ordering::Relaxed);
    }

    /// The chunk at `index` was sent.
    fn sent(&self, index: u64) {
        if index <= self.sent.load(Ordering::Relaxed) {
            self.sent.fetch_max(index + 1, Ordering::Relaxed);
        }
    }

    /// Whether all these chunks were sent, in one attempt or several.
    fn is_whole(&self, chunks: u64) -> bool {
        self.sent.load(Ordering::Relaxed) >= chunks
    }
}

impl Sending {
    /// The answer, and whether the peer was sent every byte: that it has the object, or a
    /// part of it, already is only its word. Calls `answered` when it first answers.
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
        self.takers.begin(self.peer)?;
        self.send_names(wire).await?;
        let first = if resumes {
            self.receive_first(wire).await?
        } else {
            0
        };
        self.transfer.begins_at(first);
        self.takers.moved(self.peer);
        self.send_chunks(wire, first).await?;
        match wire.receive().await? {
            Reply::OfferAnswer(answer) => {
                let is_whole = self.transfer.is_whole(self.envelope.chunk_count());
                Ok((answer, is_whole))
            }
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
            self.transfer.sent(index);
            self.takers.moved(self.peer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_it_has_was_not_sent() {
        let transfer = Transfer::default();
        assert!(transfer.is_whole(0) && !transfer.is_whole(4));
        transfer.sent(3);
        assert!(!transfer.is_whole(4), "the peer wanted the last one only");
        [0, 1, 2, 1, 2, 3].iter().for_each(|index| transfer.sent(*index));
        assert!(transfer.is_whole(4));
    }
}
