use std::{future::Future, time::Instant};

use dm_core::trace::{AskedFor, Exchanged, Trace};
use libp2p::PeerId;

use crate::{node::Context, wire::WireError};

/// Runs an exchange with a peer and records it in a trace; `count` says how many items
/// and bytes an answer has.
pub(super) async fn trace_exchange<T>(
    context: &Context,
    trace: &Trace,
    peer: PeerId,
    asked_for: AskedFor,
    count: impl FnOnce(&T) -> (usize, usize),
    exchange: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    let begun = Instant::now();
    let outcome = exchange.await;
    let (items, bytes) = outcome.as_ref().map(count).unwrap_or_default();
    trace.exchanged(Exchanged {
        peer_id: peer.to_base58(),
        paths: context.paths.to(&peer),
        asked_for,
        items: items as u64,
        bytes: bytes as u64,
        took: begun.elapsed(),
        error: outcome.as_ref().err().map(ToString::to_string),
    });
    outcome
}
