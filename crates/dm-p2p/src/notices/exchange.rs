use std::time::Duration;

use libp2p::{PeerId, Stream};
use libp2p_stream::OpenStreamError;

use super::message::PROTOCOLS;
use crate::{
    client::note_outcome,
    node::Context,
    wire::{Wire, WireError},
};

/// Time to connect to a peer and open a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Does an exchange with a peer on a stream of its own, in the newest version that both speak,
/// and notes how it went. Nothing is noted of a peer that does not speak the protocol.
pub(super) async fn exchange<T>(
    context: &Context,
    peer: PeerId,
    exchange: impl AsyncFnOnce(&mut Wire<Stream>) -> Result<T, WireError>,
) -> Result<T, WireError> {
    let _asking = context.peers.asked.begin(peer);
    let mut wire = match open(context, peer).await {
        Ok(wire) => wire,
        Err(error) => {
            if !matches!(error, WireError::Unsupported) {
                context.peers.failed(peer);
            }
            return Err(error);
        }
    };
    let outcome = exchange(&mut wire).await;
    note_outcome(context, peer, &outcome);
    outcome
}

async fn open(context: &Context, peer: PeerId) -> Result<Wire<Stream>, WireError> {
    let mut control = context.runner.streams().map_err(|_| WireError::Closed)?;
    for (version, protocol) in PROTOCOLS {
        let opening = control.open_stream(peer, protocol);
        let opened = tokio::time::timeout(OPEN_TIMEOUT, opening).await;
        match opened.map_err(|_| WireError::TimedOut)? {
            Ok(stream) => {
                let (traffic, timeout) = (context.traffic.clone(), context.request_timeout());
                return Ok(Wire::new(stream, version, traffic, timeout));
            }
            Err(OpenStreamError::UnsupportedProtocol(_)) => {}
            Err(error) => return Err(WireError::Io(std::io::Error::other(error.to_string()))),
        }
    }
    Err(WireError::Unsupported)
}
