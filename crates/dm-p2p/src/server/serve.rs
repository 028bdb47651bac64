use std::time::Duration;

use dm_core::{
    clock::now_ms,
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::Locator,
    ports::StoreError,
};
use libp2p::PeerId;
use tokio::sync::SemaphorePermit;

use super::{
    Shared,
    admission::Admitted,
    announce, envelope_page,
    prove::{self, ProofRequest},
    receive::receive,
};
use crate::{
    peers::RateDecision,
    wire::{
        MAX_ENVELOPES, MAX_NAMES_PER_PIECE, MAX_RUN, Reply, Request, Wire, WireError, encode_hints,
        encode_names,
    },
};

/// How long a stream may wait for its next request.
const IDLE: Duration = Duration::from_secs(60);

/// Answers the requests of one stream, until either side has had enough or
/// another stream gets its place.
pub(super) async fn serve<S>(shared: &Shared, peer: PeerId, place: &Admitted, mut wire: Wire<S>)
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    loop {
        let idle = place.idle();
        let request = tokio::select! {
            () = shared.ending.cancelled() => return,
            () = idle.displaced() => return,
            request = wire.receive_within(IDLE) => request,
        };
        drop(idle);
        let answered = match request {
            Ok(_) | Err(WireError::Unsupported) if !wait_for_turn(shared, peer).await => return,
            Ok(request) => answer(shared, peer, &mut wire, request).await,
            // It had nothing more to ask.
            Err(WireError::Closed | WireError::Stalled) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = answered {
            note_failure(shared, peer, &error);
            if matches!(error, WireError::Unsupported) {
                // Version 1 has no word for it: there the stream just ends.
                let _ = wire.send(&Reply::Unsupported).await;
            }
            tracing::debug!(%peer, %error, "serving a peer ended");
            return;
        }
    }
}

/// Waits until the peer may have a request answered; not at all where it has
/// asked for far too much, is banned, or the node stops.
async fn wait_for_turn(shared: &Shared, peer: PeerId) -> bool {
    let peers = &shared.context.peers;
    match peers.count_request(peer) {
        RateDecision::Now => {}
        RateDecision::After(pause) => tokio::select! {
            () = shared.ending.cancelled() => return false,
            () = tokio::time::sleep(pause) => {}
        },
        RateDecision::Flood => return false,
    }
    !peers.is_banned(&peer)
}

fn note_failure(shared: &Shared, peer: PeerId, error: &WireError) {
    let context = &shared.context;
    match error {
        WireError::Stalled => context.peers.stalled(peer, context.request_timeout()),
        WireError::Unsupported => context.peers.not_understood(peer, &error.to_string()),
        error if error.is_misbehaviour() => context.peers.misbehaved(peer, &error.to_string()),
        _ => {}
    }
}

async fn answer<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    request: Request,
) -> Result<(), WireError>
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    match request {
        Request::Envelopes { locator } => send_envelopes(shared, wire, &locator).await,
        Request::Names { id, first, count } if count <= MAX_NAMES_PER_PIECE => {
            send_names(shared, wire, &id, first, count).await
        }
        Request::Chunks { id, first, count } if count <= MAX_RUN => {
            send_chunks(shared, wire, &id, first, count).await
        }
        Request::Names { .. } | Request::Chunks { .. } => {
            Err(WireError::Malformed("too much was asked for at once"))
        }
        Request::Offer { envelope_len } => receive(shared, peer, wire, envelope_len as usize).await,
        Request::Peers => send_peers(shared, peer, wire).await,
        Request::Prove {
            id,
            chunk_list,
            nonce,
            known,
        } => {
            let question = ProofRequest {
                id,
                chunk_list,
                nonce,
                known,
            };
            prove::answer(shared, peer, wire, question).await
        }
        Request::FindEnvelopes {
            locator,
            owners,
            after,
        } => envelope_page::answer(shared, wire, locator, &owners, after).await,
        Request::Announce { count } => announce::answer(shared, peer, wire, count as usize).await,
    }
}

async fn send_envelopes<S>(shared: &Shared, wire: &mut Wire<S>, locator: &Locator) -> Result<(), WireError>
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    let envelopes = match envelopes_to_send(shared, locator).await {
        Ok(envelopes) => envelopes,
        Err(error) => {
            log_store_error(&error);
            Vec::new()
        }
    };
    // The protocol bounds envelopes far below 4 GiB.
    let lengths = envelopes
        .iter()
        .map(|envelope| envelope.bytes().len() as u32)
        .collect();
    wire.send(&Reply::Envelopes { lengths }).await?;
    for envelope in &envelopes {
        wire.send_bytes(envelope.bytes()).await?;
    }
    Ok(())
}

/// The envelopes under a locator, as many as one answer holds, and none of an
/// object that is known to be damaged here. Where there are more, this node's own goes first: other owners cannot crowd it out.
async fn envelopes_to_send(shared: &Shared, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError> {
    let context = &shared.context;
    let mut envelopes = context.objects.envelopes(locator).await?;
    let now = now_ms();
    envelopes.retain(|envelope| !envelope.is_expired(now) && !context.objects.is_damaged(&envelope.id));
    if envelopes.len() > MAX_ENVELOPES {
        let own = ObjectId {
            locator: *locator,
            owner: context.own_address,
        };
        let own_envelope = context.objects.envelope(&own).await?;
        if let Some(envelope) = own_envelope
            .filter(|own_envelope| !own_envelope.is_expired(now) && !context.objects.is_damaged(&own))
        {
            envelopes.retain(|other| other.id != own);
            envelopes.insert(0, envelope);
        }
    }
    envelopes.truncate(MAX_ENVELOPES);
    Ok(envelopes)
}

async fn send_peers<S>(shared: &Shared, peer: PeerId, wire: &mut Wire<S>) -> Result<(), WireError>
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    let hints = encode_hints(&shared.context.peers.hints_for(&peer));
    let len = hints.len() as u32;
    wire.send_with(&Reply::Peers { len }, &hints).await
}

async fn send_names<S>(
    shared: &Shared,
    wire: &mut Wire<S>,
    id: &ObjectId,
    first: u64,
    count: u32,
) -> Result<(), WireError>
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    match shared
        .context
        .objects
        .chunk_names(id, first, count as usize)
        .await
    {
        Ok(names) if !names.is_empty() => {
            let count = names.len() as u32;
            wire.send_with(&Reply::Names { count }, &encode_names(&names))
                .await
        }
        Ok(_) | Err(StoreError::Missing) => wire.send(&Reply::Missing).await,
        Err(error) => {
            log_store_error(&error);
            wire.send(&Reply::Missing).await
        }
    }
}

/// Sends chunks in their order; the next one is read while one is sent.
async fn send_chunks<S>(
    shared: &Shared,
    wire: &mut Wire<S>,
    id: &ObjectId,
    first: u64,
    count: u32,
) -> Result<(), WireError>
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    let Some(end) = first.checked_add(u64::from(count)) else {
        return wire.send(&Reply::Missing).await;
    };
    let mut index = first;
    let mut next = read_chunk(shared, id, index, end).await;
    while let Some((chunk, _permit)) = next {
        index += 1;
        let len = chunk.bytes().len() as u32;
        let reply = Reply::Chunk { len };
        let (sent, following) = tokio::join!(
            wire.send_with(&reply, chunk.bytes()),
            read_chunk(shared, id, index, end),
        );
        sent?;
        next = following;
    }
    if index < end {
        wire.send(&Reply::Missing).await
    } else {
        Ok(())
    }
}

/// The chunk at `index` and its share of the memory for sending; `None` at
/// the end, or where it cannot be read.
async fn read_chunk<'a>(
    shared: &'a Shared,
    id: &ObjectId,
    index: u64,
    end: u64,
) -> Option<(Chunk, SemaphorePermit<'a>)> {
    if index >= end {
        return None;
    }
    let permit = shared.sending.acquire().await.ok()?;
    match shared.context.objects.chunk(id, index).await {
        Ok(chunk) => Some((chunk, permit)),
        Err(error) => {
            log_store_error(&error);
            None
        }
    }
}

pub(super) fn log_store_error(error: &StoreError) {
    if !matches!(error, StoreError::Missing) {
        tracing::warn!(%error, "the object store failed while serving a peer");
    }
}
