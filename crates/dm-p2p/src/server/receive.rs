use std::cmp::Ordering;

use dm_core::{
    clock::now_ms,
    envelope::{Envelope, SignedEnvelope},
    ports::{StoreError, storage_cost},
    signed::{Signed, Statement, StatementError},
};
use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;

use super::{
    Shared,
    memory::Reserved,
    owners::Arrival,
    room::{Arriving, Reservation},
    take::{Stop, memory_for, take},
    transfers::Running,
};
use crate::wire::{OfferAnswer, Refusal, Reply, Version, Wire, WireError};

/// Objects with fewer chunks are sent from their beginning again.
const MIN_RESUMED: u64 = 4;

pub(super) fn refusal_for(error: &StoreError) -> Refusal {
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
    let bound = envelope_len.min(Envelope::MAX_BYTES) as u64;
    let Some(memory) = shared.memory_to_receive(peer, bound).await else {
        return Err(WireError::TimedOut);
    };
    let receiving = wire.receive_bytes(envelope_len, Envelope::MAX_BYTES);
    let bytes = memory.unless_displaced(receiving).await?;
    shared.context.peers.count_bytes(peer, envelope_len as u64);
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
    // Who waits here for more memory holds up nobody with what it has.
    let judging = async { Ok(judge(shared, peer, &envelope).await) };
    let space = match memory.unless_displaced(judging).await? {
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
    drop(memory);
    let (refusal, error) = match take(shared, peer, wire, &envelope, *space).await {
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
    Wanted(Box<Space<'a>>),
}

/// What is set aside for an object that is being received.
pub(super) struct Space<'a> {
    pub(super) memory: Reserved,
    /// The place of a new foreign owner among those of the locator.
    pub(super) _arrival: Option<Arrival<'a>>,
    /// Of the bytes for foreign objects; an own object needs none.
    pub(super) foreign: Option<Reservation>,
    /// What an earlier attempt left is gone on with; `None` where the object is small, or
    /// comes from another peer at the moment.
    pub(super) transfer: Option<Running>,
    /// Whether the object is here and damaged.
    pub(super) mends: bool,
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
    let transfer = begin_transfer(shared, peer, envelope).await;
    let memory = shared.memory_to_receive(peer, memory_for(envelope)).await;
    Ok(Judgement::Wanted(Box::new(Space {
        foreign: reserve(shared, peer, held.as_ref(), envelope).await?,
        memory: memory.ok_or(Refusal::Busy)?,
        transfer,
        _arrival: match held {
            Some(_) => None,
            None => admit_owner(shared, envelope).await?,
        },
        mends,
    })))
}

/// Ends what is left of an earlier attempt of the peer to send the object.
async fn begin_transfer(shared: &Shared, peer: PeerId, envelope: &SignedEnvelope) -> Option<Running> {
    if envelope.chunk_count() < MIN_RESUMED {
        return None;
    }
    shared.transfers.begin(peer, envelope).await
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
