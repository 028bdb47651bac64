use std::{sync::Arc, time::Duration};

use dm_core::{
    envelope::{ChunkListHasher, ObjectId, SignedEnvelope},
    hash::ChunkName,
    trace::{AskedFor, Trace},
};
use futures::FutureExt;
use libp2p::{PeerId, Stream};

use super::{exchange_trace::trace_exchange, holder_pool::HolderPool};
use crate::{
    node::Context,
    wire::{Reply, Request, Wire, WireError, decode_names},
};

/// Names that are asked for at once: 64 KiB.
const PIECE: u64 = 2048;
/// Names that are kept in memory, 32 bytes each: enough for objects of 1 TiB.
const MAX_NAMES: u64 = 1 << 22;
/// A holder that takes longer for a piece is given up.
const STALL: Duration = Duration::from_secs(3);

/// The chunk names of an object, from the first holder that has the right
/// ones; other holders are removed from the pool.
///
/// # Errors
/// Why the last holder did not help.
pub(crate) async fn fetch_names(
    context: &Context,
    envelope: &SignedEnvelope,
    pool: &mut HolderPool,
    trace: &Trace,
) -> Result<Arc<[ChunkName]>, String> {
    if envelope.chunk_count() > MAX_NAMES {
        return Err("the object is larger than this node can fetch".to_owned());
    }
    let mut reason = "no holder is known".to_owned();
    while let Some(holder) = pool.first_waiting() {
        match names_from(context, holder, envelope, trace).await {
            Ok(names) => return Ok(names.into()),
            Err(error) => {
                tracing::debug!(%holder, %error, "a holder did not deliver the chunk names");
                if matches!(error, WireError::Missing) {
                    // It had given out the envelope.
                    context
                        .peers
                        .disturbed(holder, "it claims an object that it does not have");
                }
                reason = error.to_string();
                pool.remove(&holder);
            }
        }
    }
    Err(reason)
}

async fn names_from(
    context: &Context,
    holder: PeerId,
    envelope: &SignedEnvelope,
    trace: &Trace,
) -> Result<Vec<ChunkName>, WireError> {
    let total = envelope.chunk_count();
    let mut names = Vec::with_capacity(total as usize);
    let mut digest = ChunkListHasher::default();
    while (names.len() as u64) < total {
        let first = names.len() as u64;
        let count = PIECE.min(total - first) as u32;
        let asked = piece_from(context, holder, envelope.id, first, count);
        let counted = |names: &Vec<ChunkName>| (names.len(), names.len() * 32);
        let piece = trace_exchange(context, trace, holder, AskedFor::Names, counted, asked).await?;
        piece.iter().for_each(|name| digest.push(name));
        names.extend(piece);
    }
    if digest.finish() == envelope.chunk_list {
        return Ok(names);
    }
    let fault = WireError::Malformed("names are not those of the envelope");
    context.peers.misbehaved(holder, &fault.to_string());
    Err(fault)
}

async fn piece_from(
    context: &Context,
    holder: PeerId,
    id: ObjectId,
    first: u64,
    count: u32,
) -> Result<Vec<ChunkName>, WireError> {
    let exchange = context.streams.exchange(context, holder, move |wire| {
        piece_on(wire, id, first, count).boxed()
    });
    match tokio::time::timeout(STALL, exchange).await {
        Ok(piece) => piece,
        Err(_) => {
            context.peers.failed(holder);
            Err(WireError::TimedOut)
        }
    }
}

async fn piece_on(
    wire: &mut Wire<Stream>,
    id: ObjectId,
    first: u64,
    count: u32,
) -> Result<Vec<ChunkName>, WireError> {
    wire.send(&Request::Names { id, first, count }).await?;
    match wire.receive().await? {
        Reply::Names { count: sent } if sent == count => {
            let len = count as usize * 32;
            let bytes = wire.receive_bytes(len, len).await?;
            Ok(decode_names(&bytes).collect())
        }
        Reply::Names { .. } => Err(WireError::Malformed("another number of names was expected")),
        Reply::Missing => Err(WireError::Missing),
        _ => Err(WireError::Malformed("names were expected")),
    }
}
