use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm,
    core::transport::ListenerId,
    multiaddr::Protocol,
    swarm::{Config, SwarmEvent},
};

use super::{
    behaviour::Behaviour, dial_filter::ObservedAddresses, handshakes::HandshakeLimits, transport::Transports,
};
use crate::{
    config::{P2pConfig, Transport},
    dht::ProviderRecords,
    error::P2pError,
    parsed_config::ParsedConfig,
    peers::Peers,
};

/// A connection without streams is closed after this time. The routing table
/// is refreshed more often, so that neighbours stay connected.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Streams of one connection on which the peer has not yet said what they are for.
const MAX_NEGOTIATING: usize = 32;
/// Time for a listener to say where it listens.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A swarm that listens.
pub(crate) struct ListeningSwarm {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) listeners: Vec<ListenerId>,
    /// What its transport knows of where peers are.
    pub(crate) observed: Arc<ObservedAddresses>,
}

/// Builds a swarm and binds its listeners.
pub(crate) async fn listening_swarm(
    config: &P2pConfig,
    parsed: &ParsedConfig,
    peers: &Arc<Peers>,
    providers: &Arc<ProviderRecords>,
) -> Result<ListeningSwarm, P2pError> {
    let observed = Arc::new(ObservedAddresses::default());
    let transports = Transports::new(
        config.transport,
        &config.identity,
        parsed.swarm_key,
        &observed,
        HandshakeLimits::new(&config.network),
    )?;
    let swarm_config = Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE_TIMEOUT)
        .with_max_negotiating_inbound_streams(MAX_NEGOTIATING);
    let behaviour = Behaviour::new(config, parsed, peers, providers, transports.relay_client)?;
    let mut swarm = Swarm::new(
        transports.connections,
        behaviour,
        config.identity.id(),
        swarm_config,
    );
    for address in &parsed.external {
        swarm.add_external_address(address.clone());
    }
    let mut listeners = Vec::new();
    for address in listen_addresses(config, parsed) {
        listeners.push(listen(&mut swarm, address).await?);
    }
    Ok(ListeningSwarm {
        swarm,
        listeners,
        observed,
    })
}

/// None where the node is reached through relays only.
fn listen_addresses(config: &P2pConfig, parsed: &ParsedConfig) -> Vec<Multiaddr> {
    if !config.network.listen {
        return Vec::new();
    }
    if config.transport == Transport::Memory {
        return vec![Multiaddr::empty().with(Protocol::Memory(u64::from(config.port)))];
    }
    let network = &config.network;
    let hosts = std::iter::once(network.host).chain(network.more_hosts.iter().copied());
    let addresses = hosts.flat_map(|host| {
        let host = Multiaddr::from(host);
        let quic = host
            .clone()
            .with(Protocol::Udp(config.port))
            .with(Protocol::QuicV1);
        let quic = parsed.swarm_key.is_none().then_some(quic);
        std::iter::once(host.with(Protocol::Tcp(config.port))).chain(quic)
    });
    addresses.collect()
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
