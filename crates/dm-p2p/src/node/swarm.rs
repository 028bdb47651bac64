use std::time::Duration;

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::{ListenerId, MemoryTransport},
        upgrade::Version,
    },
    multiaddr::Protocol,
    noise, quic,
    swarm::SwarmEvent,
    tcp, yamux,
};

use super::{behaviour::Behaviour, patient::Patient};
use crate::{
    error::P2pError,
    options::{P2pOptions, Transport},
};

/// TCP is given this long before QUIC is tried: where both work, TCP with
/// noise and yamux moves more bytes for the same CPU.
const TCP_HEAD_START: Duration = Duration::from_millis(200);
/// Streams that a peer may have open on one connection, all protocols together.
const MAX_STREAMS: usize = 256;
/// A connection without streams is closed after this time. The routing table
/// is refreshed more often, so that neighbours stay connected.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Time for a listener to say where it listens.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A swarm that listens.
pub(crate) struct ListeningSwarm {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) listeners: Vec<ListenerId>,
}

/// Builds a swarm and binds its listeners.
pub(crate) async fn listening_swarm(options: &P2pOptions) -> Result<ListeningSwarm, P2pError> {
    let allowed = allowed_peers(options)?;
    let mut swarm = match options.transport {
        Transport::TcpAndQuic => tcp_and_quic(options, &allowed)?,
        Transport::Memory => memory(options, &allowed)?,
    };
    let mut listeners = Vec::new();
    for address in listen_addresses(options) {
        listeners.push(listen(&mut swarm, address).await?);
    }
    Ok(ListeningSwarm { swarm, listeners })
}

fn tcp_and_quic(options: &P2pOptions, allowed: &[PeerId]) -> Result<Swarm<Behaviour>, P2pError> {
    let builder = SwarmBuilder::with_existing_identity(options.identity.keypair().clone())
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux_config,
        )
        .map_err(transport_error)?
        .with_other_transport(|keypair| {
            let quic = quic::tokio::Transport::new(quic::Config::new(keypair));
            Patient::new(quic, TCP_HEAD_START)
        })
        .map_err(transport_error)?
        .with_dns()
        .map_err(transport_error)?;
    Ok(builder
        .with_behaviour(|keypair| Behaviour::new(keypair, options, allowed))
        .map_err(transport_error)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
        .build())
}

fn memory(options: &P2pOptions, allowed: &[PeerId]) -> Result<Swarm<Behaviour>, P2pError> {
    let noise = noise::Config::new(options.identity.keypair()).map_err(transport_error)?;
    Ok(
        SwarmBuilder::with_existing_identity(options.identity.keypair().clone())
            .with_tokio()
            .with_other_transport(|_| {
                MemoryTransport::default()
                    .upgrade(Version::V1Lazy)
                    .authenticate(noise)
                    .multiplex(yamux_config())
                    .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            })
            .map_err(transport_error)?
            .with_behaviour(|keypair| Behaviour::new(keypair, options, allowed))
            .map_err(transport_error)?
            .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
            .build(),
    )
}

fn allowed_peers(options: &P2pOptions) -> Result<Vec<PeerId>, P2pError> {
    let peers = options.network.allowed_peers.iter();
    peers
        .map(|peer| peer.parse().map_err(|_| P2pError::AllowedPeer(peer.clone())))
        .collect()
}

fn yamux_config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(MAX_STREAMS);
    config
}

fn listen_addresses(options: &P2pOptions) -> Vec<Multiaddr> {
    let host = Multiaddr::from(options.network.host);
    match options.transport {
        Transport::TcpAndQuic => vec![
            host.clone().with(Protocol::Tcp(options.port)),
            host.with(Protocol::Udp(options.port)).with(Protocol::QuicV1),
        ],
        Transport::Memory => vec![Multiaddr::empty().with(Protocol::Memory(u64::from(options.port)))],
    }
}

/// Listens, and waits until the listener has its first address, so that a
/// taken port is an error of the start and not of some later moment.
async fn listen(swarm: &mut Swarm<Behaviour>, address: Multiaddr) -> Result<ListenerId, P2pError> {
    let failed = |reason: String| P2pError::Listen {
        address: address.to_string(),
        reason,
    };
    let listener = swarm
        .listen_on(address.clone())
        .map_err(|error| failed(error.to_string()))?;
    let wait = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, .. } if listener_id == listener => {
                    return Ok(listener);
                }
                SwarmEvent::ListenerError { listener_id, error } if listener_id == listener => {
                    return Err(failed(error.to_string()));
                }
                SwarmEvent::ListenerClosed {
                    listener_id, reason, ..
                } if listener_id == listener => {
                    let reason = reason
                        .err()
                        .map_or("closed".to_owned(), |error| error.to_string());
                    return Err(failed(reason));
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(LISTEN_TIMEOUT, wait)
        .await
        .unwrap_or_else(|_| Err(failed("no address in time".to_owned())))
}

fn transport_error(error: impl std::fmt::Display) -> P2pError {
    P2pError::Transport(error.to_string())
}
