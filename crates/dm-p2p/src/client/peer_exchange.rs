use std::sync::Arc;

use futures::FutureExt;
use libp2p::{PeerId, Stream};

use crate::{
    node::Context,
    wire::{Hint, MAX_HINT_BYTES, Reply, Request, Wire, WireError, decode_hints},
};

/// Asks a peer for the peers that it knows, and has the event loop dial some of them.
pub(crate) async fn exchange_peers(context: Arc<Context>, peer: PeerId) {
    let asked = context
        .streams
        .exchange(&context, peer, |wire| ask_on(wire).boxed())
        .await;
    match asked {
        Ok(hints) => context.runner.dial_hints(peer, hints).await,
        // The failure has been noted.
        Err(error) => tracing::debug!(%peer, %error, "a peer named no others"),
    }
}

async fn ask_on(wire: &mut Wire<Stream>) -> Result<Vec<Hint>, WireError> {
    wire.send(&Request::Peers).await?;
    let Reply::Peers { len } = wire.receive().await? else {
        return Err(WireError::Malformed("peers were expected"));
    };
    let bytes = wire.receive_bytes(len as usize, MAX_HINT_BYTES).await?;
    decode_hints(&bytes).ok_or(WireError::Malformed("a list of peers cannot be read"))
}
