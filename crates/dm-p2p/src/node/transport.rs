//! How bytes get from node to node.

use std::{sync::Arc, time::Duration};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, MemoryTransport, Transport, timeout::TransportTimeout},
        upgrade::Version,
    },
    dns, noise,
    pnet::PnetConfig,
    quic, relay, tcp,
};

use super::{
    close_timeout::CloseTimeout,
    delayed_dial::DelayedDial,
    dial_filter::{DialFilter, ObservedAddresses},
    handshakes::HandshakeLimits,
    inbound_filter::InboundFilter,
    multiplexer::Multiplexer,
    read_ahead::ReadAhead,
};
use crate::{config, error::P2pError, identity::Identity, swarm_key::SwarmKey};

/// TCP is given this long before QUIC is tried: where both work, TCP with
/// noise and yamux moves more bytes for the same CPU.
const TCP_HEAD_START: Duration = Duration::from_millis(200);
/// Streams that may be open on one connection, all protocols and both
/// directions together. Each takes up to 256 KiB before the other end has to wait.
const MAX_STREAMS: usize = 128;
/// Time to connect, to prove who one is, and to agree on a protocol.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a peer to hear that its connection is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// The transport of a node, and the part of it that listens and dials through
/// relays.
pub(super) struct Transports {
    pub(super) connections: Connections,
    pub(super) relay_client: relay::client::Behaviour,
}

impl Transports {
    pub(super) fn new(
        kind: config::Transport,
        identity: &Identity,
        swarm_key: Option<SwarmKey>,
        observed: &Arc<ObservedAddresses>,
        limits: HandshakeLimits,
    ) -> Result<Self, P2pError> {
        let direct = match kind {
            config::Transport::TcpAndQuic => internet(identity, swarm_key, observed)?,
            config::Transport::Memory => upgraded(MemoryTransport::default(), identity, swarm_key)?,
        };
        let (relayed, relay_client) = relay::client::new(identity.id());
        // The way to the relay is protected by the swarm key already. It comes
        // first: TCP would take the address of the relay for the whole.
        let all = upgraded(relayed, identity, None)?
            .or_transport(direct)
            .map(|either, _| either.into_inner());
        let all = DialFilter::new(all.boxed(), observed.clone());
        let all = InboundFilter::new(all, limits).map(|(peer, connection), _| {
            (
                peer,
                StreamMuxerBox::new(CloseTimeout::new(connection, CLOSE_TIMEOUT)),
            )
        });
        Ok(Self {
            connections: TransportTimeout::new(all, CONNECT_TIMEOUT).boxed(),
            relay_client,
        })
    }
}

/// TCP, and QUIC where no key is asked for, with names resolved.
fn internet(
    identity: &Identity,
    swarm_key: Option<SwarmKey>,
    observed: &Arc<ObservedAddresses>,
) -> Result<Connections, P2pError> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let tcp = upgraded(tcp, identity, swarm_key)?;
    let both = if swarm_key.is_some() {
        tcp
    } else {
        let mut config = quic::Config::new(identity.keypair());
        config.max_concurrent_stream_limit = MAX_STREAMS as u32;
        let quic = quic::tokio::Transport::new(config)
            .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
        tcp.or_transport(DelayedDial::new(quic, TCP_HEAD_START))
            .map(|either, _| either.into_inner())
            .boxed()
    };
    // Also here: a name may stand for any address.
    Ok(
        dns::tokio::Transport::system(DialFilter::new(both, observed.clone()))
            .map_err(|error| P2pError::Transport(error.to_string()))?
            .boxed(),
    )
}

/// A transport of plain bytes with encryption and streams; with a swarm key
/// nobody gets so far who does not have it.
fn upgraded<T>(plain: T, identity: &Identity, swarm_key: Option<SwarmKey>) -> Result<Connections, P2pError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: Plain + 'static,
    T::Error: Send + Sync,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
{
    let noise =
        noise::Config::new(identity.keypair()).map_err(|error| P2pError::Transport(error.to_string()))?;
    let Some(key) = swarm_key else {
        return Ok(with_streams(boxed(plain), noise));
    };
    let config = PnetConfig::new(key.pre_shared());
    let protected = plain.and_then(move |socket, _| config.handshake(socket));
    Ok(with_streams(boxed(protected), noise))
}

/// Bytes as they come from the operating system, a relay or another task.
trait Plain: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Plain for T {}

type PlainConnections = Boxed<Box<dyn Plain>>;

/// All transports as one type: what stands on it is compiled once, and it is large.
fn boxed<T>(plain: T) -> PlainConnections
where
    T: Transport + Send + Unpin + 'static,
    T::Output: Plain + 'static,
    T::Error: Send + Sync,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
{
    plain
        .map(|connection, _| Box::new(ReadAhead::new(connection)) as Box<dyn Plain>)
        .boxed()
}

fn with_streams(plain: PlainConnections, noise: noise::Config) -> Connections {
    plain
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(Multiplexer::new(MAX_STREAMS))
        .boxed()
}
