use std::cmp::Ordering;

use dm_core::{
    clock::now_ms,
    envelope::{Chunk, ChunkListHasher, MAX_CHUNK_BYTES, SignedEnvelope},
    hash::ChunkName,
    ports::{ObjectWriter, StoreError, storage_cost},
    signed::{Signed, Statement, StatementError},
};
use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;
use tokio::sync::SemaphorePermit;

use super::{
    Shared,
    owners::Arrival,
    room::{Arriving, Reservation},
};
use crate::wire::{MAX_NAMES_PER_PIECE, OfferAnswer, Refusal, Reply, Version, Wire, WireError, decode_names};

/// How taking an object ends early.
enum Stop {
    /// This node cannot keep it.
    Refuse(Refusal),
    /// The stream is of no use any more.
    Broken(WireError),
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Self {
        Self::Broken(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refuse(refusal_for(&error))
    }
}

fn refusal_for(error: &StoreError) -> Refusal {
    match error {
        StoreError::Full => Refusal::Full,
        StoreError::Stale { .. } => Refusal::Stale,
        StoreError::Mismatch(_) => Refusal::Invalid,
        error => {
            tracing::warn!(%error, "the object store failed while receiving");
            Refusal::Failed
        }
    }
}

/// Decides about an offered object and takes it.
pub(super) async fn receive<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    envelope_len: usize,
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = wire
        .receive_bytes(envelope_len, dm_core::envelope::Envelope::MAX_BYTES)
        .await?;
    let verified = tokio::task::spawn_blocking(move || Signed::verify(bytes)).await;
    let invalid = Reply::OfferAnswer(OfferAnswer::Refused(Refusal::Invalid));
    let envelope = match verified {
        Ok(Ok(envelope)) => envelope,
        Ok(Err(StatementError::UnknownVersion { .. })) => {
            // Later versions of the protocol have a better word for it.
            if wire.version() == Version::One {
                wire.send(&invalid).await?;
            }
            return Err(WireError::Unsupported);
        }
        _ => {
            wire.send(&invalid).await?;
            return Err(WireError::Malformed("an offered envelope does not verify"));
        }
    };
    let space = match judge(shared, peer, &envelope).await {
        Ok(Judgement::Held) => {
            shared.context.holder_updates.said(peer, envelope.id, vec![peer]);
            return wire.send(&Reply::OfferAnswer(OfferAnswer::Held)).await;
        }
        Ok(Judgement::Wanted(space)) => space,
        Err(refusal) => {
            return wire
                .send(&Reply::OfferAnswer(OfferAnswer::Refused(refusal)))
                .await;
        }
    };
    let (refusal, error) = match take(shared, wire, &envelope, space).await {
        Ok(()) => {
            shared.context.peers.succeeded(peer);
            shared.context.holder_updates.transferred(envelope.id, [peer]);
            return wire.send(&Reply::OfferAnswer(OfferAnswer::Held)).await;
        }
        // What is left of the object on the stream is not read any more.
        Err(Stop::Refuse(refusal)) => (refusal, WireError::Closed),
        Err(Stop::Broken(error)) => (Refusal::Invalid, error),
    };
    // The sender may still be able to read why.
    let _ = wire
        .send(&Reply::OfferAnswer(OfferAnswer::Refused(refusal)))
        .await;
    Err(error)
}

/// What is to be done about an offer that is not refused.
enum Judgement<'a> {
    /// Nothing more: the envelope is held, with its chunks.
    Held,
    /// The chunks are wanted, and this is set aside for them.
    Wanted(Space<'a>),
}

/// What is set aside for an object that is being received.
struct Space<'a> {
    _receiving: SemaphorePermit<'a>,
    /// The place of a new foreign owner among those of the locator.
    _arrival: Option<Arrival<'a>>,
    /// Of the bytes for foreign objects; an own object needs none.
    foreign: Option<Reservation>,
    /// Whether the object is here and damaged.
    mends: bool,
}

async fn judge<'a>(
    shared: &'a Shared,
    peer: PeerId,
    envelope: &SignedEnvelope,
) -> Result<Judgement<'a>, Refusal> {
    if shared.context.network.bootstrap_only {
        return Err(Refusal::Full);
    }
    if envelope.is_expired(now_ms()) {
        return Err(Refusal::Stale);
    }
    let objects = &shared.context.objects;
    let held = objects
        .envelope(&envelope.id)
        .await
        .map_err(|error| refusal_for(&error))?;
    let mends = held.is_some() && objects.is_damaged(&envelope.id);
    if let Some(held) = &held {
        let same_chunks = held.chunk_list == envelope.chunk_list && held.size == envelope.size;
        match held.sequence.cmp(&envelope.sequence) {
            Ordering::Equal | Ordering::Less if same_chunks && mends => {}
            Ordering::Equal if same_chunks => return Ok(Judgement::Held),
            Ordering::Less if same_chunks => {
                replace_envelope(shared, peer, held, envelope).await?;
                return Ok(Judgement::Held);
            }
            Ordering::Less => {}
            Ordering::Equal | Ordering::Greater => return Err(Refusal::Stale),
        }
    }
    Ok(Judgement::Wanted(Space {
        foreign: reserve(shared, peer, held.as_ref(), envelope).await?,
        _receiving: shared.receiving.try_acquire().map_err(|_| Refusal::Busy)?,
        _arrival: match held {
            Some(_) => None,
            None => admit_owner(shared, envelope).await?,
        },
        mends,
    }))
}

/// Stores a newer envelope over the chunks that are held. Only what it is
/// larger than the old one needs space.
async fn replace_envelope(
    shared: &Shared,
    peer: PeerId,
    held: &SignedEnvelope,
    envelope: &SignedEnvelope,
) -> Result<(), Refusal> {
    let foreign = reserve(shared, peer, Some(held), envelope).await?;
    let replaced = shared.context.objects.replace_envelope(envelope).await;
    if replaced.map_err(|error| refusal_for(&error))?
        && let Some(foreign) = foreign
    {
        foreign.keep();
    }
    Ok(())
}

/// Space for a foreign object, in the place of the version that is held. Where
/// there is not enough, that version goes all the same: its owner has replaced it,
/// so that it is served to nobody any more.
async fn reserve(
    shared: &Shared,
    peer: PeerId,
    held: Option<&SignedEnvelope>,
    envelope: &SignedEnvelope,
) -> Result<Option<Reservation>, Refusal> {
    let context = &shared.context;
    if envelope.id.owner == context.own_address {
        return Ok(None);
    }
    let arriving = Arriving {
        owner: envelope.id.owner,
        peer,
        is_for_us: envelope.grants_to(context.own_address),
    };
    let (cost, replaced) = (storage_cost(envelope), held.map_or(0, storage_cost));
    let refusal = if envelope.sealed_size() > context.network.max_foreign_object {
        Refusal::TooLarge
    } else {
        match context.foreign.reserve(arriving, cost, replaced).await {
            Some(reservation) => return Ok(Some(reservation)),
            None => Refusal::Full,
        }
    };
    if let Some(held) = held.filter(|held| held.sequence < envelope.sequence) {
        let removed = context.objects.remove(&held.id).await;
        removed.map_err(|error| refusal_for(&error))?;
        tracing::info!(locator = %held.id.locator, "dropped an object whose newer version has no room");
    }
    Err(refusal)
}

/// A place for an owner that has no object under the locator yet; this node
/// itself needs none.
async fn admit_owner<'a>(
    shared: &'a Shared,
    envelope: &SignedEnvelope,
) -> Result<Option<Arrival<'a>>, Refusal> {
    let context = &shared.context;
    if envelope.id.owner == context.own_address {
        return Ok(None);
    }
    let admitted = shared
        .arrivals
        .admit(&*context.objects, context.own_address, envelope.id.locator)
        .await
        .map_err(|error| refusal_for(&error))?;
    admitted.map(Some).ok_or(Refusal::Full)
}

/// Receives names and chunks and stores the object.
async fn take<S>(
    shared: &Shared,
    wire: &mut Wire<S>,
    envelope: &SignedEnvelope,
    space: Space<'_>,
) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut writer = shared.context.objects.create().await?;
    wire.send(&Reply::OfferAnswer(OfferAnswer::Wanted)).await?;
    let names = receive_names(wire, envelope).await?;
    for (index, name) in (0..).zip(names) {
        receive_chunk(wire, envelope, index, name, &mut *writer).await?;
    }
    if space.mends {
        writer.restore(envelope).await?;
    } else {
        writer.finish(envelope).await?;
    }
    if let Some(foreign) = space.foreign {
        foreign.keep();
    }
    shared.context.provide.push(envelope.id.locator);
    Ok(())
}

/// All names, checked against the envelope: 32 bytes for each 256 KiB.
async fn receive_names<S>(wire: &mut Wire<S>, envelope: &SignedEnvelope) -> Result<Vec<ChunkName>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut names = Vec::new();
    let mut digest = ChunkListHasher::default();
    let mut missing = envelope.chunk_count();
    while missing > 0 {
        let count = missing.min(u64::from(MAX_NAMES_PER_PIECE));
        let len = count as usize * 32;
        let piece = wire.receive_bytes(len, len).await?;
        for name in decode_names(&piece) {
            digest.push(&name);
            names.push(name);
        }
        missing -= count;
    }
    if digest.finish() == envelope.chunk_list {
        Ok(names)
    } else {
        Err(WireError::Malformed("names are not those of the envelope"))
    }
}

async fn receive_chunk<S>(
    wire: &mut Wire<S>,
    envelope: &SignedEnvelope,
    index: u64,
    name: ChunkName,
    writer: &mut dyn ObjectWriter,
) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = match wire.receive::<Reply>().await? {
        Reply::Chunk { len } if u64::from(len) == envelope.chunk_len(index) => {
            wire.receive_bytes(len as usize, MAX_CHUNK_BYTES).await?
        }
        _ => return Err(WireError::Malformed("a chunk of another length was expected").into()),
    };
    let checked = tokio::task::spawn_blocking(move || Chunk::checked(name, bytes)).await;
    match checked {
        Ok(Some(chunk)) => Ok(writer.append(chunk).await?),
        _ => Err(WireError::Malformed("a chunk does not have its name").into()),
    }
}
