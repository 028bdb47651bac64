//! Takes what peers announce to provide.

use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;

use super::Shared;
use crate::{
    addresses::MAX_ADDRESSES,
    wire::{MAX_ANNOUNCED, Reply, Wire, WireError, decode_locators},
};

/// Receives the locators that follow, and keeps those that have their place.
pub(super) async fn answer<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    count: usize,
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if count > MAX_ANNOUNCED {
        return Err(WireError::Malformed("too much was announced at once"));
    }
    let Some(memory) = shared.memory_to_receive(peer, count as u64 * 32).await else {
        return Err(WireError::TimedOut);
    };
    let receiving = wire.receive_bytes(count * 32, MAX_ANNOUNCED * 32);
    let bytes = memory.unless_displaced(receiving).await?;
    shared.context.peers.count_bytes(peer, bytes.len() as u64);
    let locators: Vec<_> = decode_locators(&bytes).collect();
    let context = &shared.context;
    let mut addresses = context.peers.book.addresses(&peer);
    addresses.truncate(MAX_ADDRESSES);
    let kept = context.providers.add_all(peer, &locators, &addresses) as u32;
    wire.send(&Reply::Announced { kept }).await
}
