use std::time::Duration;

use dm_core::{
    envelope::{Chunk, MAX_CHUNK_BYTES, ObjectId},
    ports::StoreError,
    span::{self, SpanKind},
};
use libp2p::PeerId;

use super::{
    Shared,
    admission::Admitted,
    announce, envelope_page,
    memory::Reserved,
    prove::{self, ProofRequest},
    receive::receive,
};
use crate::{
    peers::RateDecision,
    wire::{
        MAX_NAMES_PER_PIECE, MAX_RUN, Message, Reply, Request, Wire, WireError, encode_hints, encode_names,
    },
};

/// Chunks that are read at a time.
const READ_AT_ONCE: u64 = 2;
/// How long a stream may wait for its next request.
const IDLE: Duration = Duration::from_secs(60);

/// Answers the requests of one stream, until either side has had enough or
/// another stream gets its place.
pub(super) async fn serve<S>(shared: &Shared, peer: PeerId, place: &Admitted, mut wire: Wire<S>)
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    while let Some(request) = next_request::<_, Request>(shared, peer, place, &mut wire).await {
        let answered = match request {
            Ok(request) => {
                let caller = wire.trace();
                let tracer = &shared.context.tracer;
                let span = tracer.begin_recorded(request.name(), SpanKind::Server, caller);
                span::within(span.as_ref(), answer(shared, peer, &mut wire, request)).await
            }
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

/// The next request of a stream, or what is wrong with it, once the peer may have it
/// answered; `None` where the stream is over.
pub(super) async fn next_request<S, R: Message>(
    shared: &Shared,
    peer: PeerId,
    place: &Admitted,
    wire: &mut Wire<S>,
) -> Option<Result<R, WireError>>
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    let idle = place.idle();
    let request = tokio::select! {
        () = shared.ending.cancelled() => return None,
        () = idle.displaced() => return None,
        request = wire.receive_within(IDLE) => request,
    };
    drop(idle);
    match request {
        Ok(_) | Err(WireError::Unsupported) if !wait_for_turn(shared, peer).await => None,
        // It had nothing more to ask.
        Err(WireError::Closed | WireError::Stalled) => None,
        request => Some(request),
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

pub(super) fn note_failure(shared: &Shared, peer: PeerId, error: &WireError) {
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
        Request::Envelopes { locator } => envelope_page::answer_all(shared, peer, wire, locator).await,
        Request::Names { id, first, count } if count <= MAX_NAMES_PER_PIECE => {
            send_names(shared, peer, wire, &id, first, count).await
        }
        Request::Chunks { id, first, count } if count <= MAX_RUN => {
            send_chunks(shared, peer, wire, &id, first, count).await
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
        } => envelope_page::answer(shared, peer, wire, locator, &owners, after).await,
        Request::Announce { count } => announce::answer(shared, peer, wire, count as usize).await,
    }
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
    peer: PeerId,
    wire: &mut Wire<S>,
    id: &ObjectId,
    first: u64,
    count: u32,
) -> Result<(), WireError>
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    let memory = shared.memory_to_send(peer, count as usize * 32).await;
    let memory = memory.ok_or(WireError::TimedOut)?;
    let objects = &shared.context.objects;
    match objects.chunk_names(id, first, count as usize).await {
        Ok(names) if !names.is_empty() => {
            let (count, bytes) = (names.len() as u32, encode_names(&names));
            drop(names);
            shared.context.peers.count_bytes(peer, bytes.len() as u64);
            memory
                .unless_displaced(wire.send_with(&Reply::Names { count }, &bytes))
                .await
        }
        Ok(_) | Err(StoreError::Missing) => wire.send(&Reply::Missing).await,
        Err(error) => {
            log_store_error(&error);
            wire.send(&Reply::Missing).await
        }
    }
}

/// Sends chunks in their order; the next ones are read while some are sent.
async fn send_chunks<S>(
    shared: &Shared,
    peer: PeerId,
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
    let mut next = read_chunks(shared, peer, id, index, end).await;
    while let Some((chunks, memory)) = next {
        index += chunks.len() as u64;
        let sending = async {
            for chunk in &chunks {
                let len = chunk.bytes().len() as u32;
                wire.send_with(&Reply::Chunk { len }, chunk.bytes()).await?;
                memory.moved();
            }
            Ok(())
        };
        let (sent, following) = tokio::join!(
            memory.unless_displaced(sending),
            read_chunks(shared, peer, id, index, end),
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

/// The first chunks between two indexes and the memory that they take; `None` at the end, or
/// where they cannot be read.
async fn read_chunks(
    shared: &Shared,
    peer: PeerId,
    id: &ObjectId,
    index: u64,
    end: u64,
) -> Option<(Vec<Chunk>, Reserved)> {
    let count = end.saturating_sub(index).min(READ_AT_ONCE);
    if count == 0 {
        return None;
    }
    let memory = shared
        .memory_to_send(peer, count as usize * MAX_CHUNK_BYTES)
        .await?;
    match shared.context.objects.chunks(id, index, count).await {
        Ok(chunks) => {
            let len = chunks.iter().map(|chunk| chunk.bytes().len() as u64).sum();
            memory.shrink(len);
            shared.context.peers.count_bytes(peer, len);
            Some((chunks, memory))
        }
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
