use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm,
    core::transport::ListenerId,
    multiaddr::Protocol,
    swarm::{Config, SwarmEvent},
};

use super::{behaviour::Behaviour, guarded::Whereabouts, transport::Transports};
use crate::{
    error::P2pError,
    options::{P2pOptions, Transport},
    peers::Peers,
    setup::Setup,
};

/// A connection without streams is closed after this time. The routing table
/// is refreshed more often, so that neighbours stay connected.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Time for a listener to say where it listens.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A swarm that listens.
pub(crate) struct ListeningSwarm {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) listeners: Vec<ListenerId>,
    /// What its transport knows of where peers are.
    pub(crate) whereabouts: Arc<Whereabouts>,
}

/// Builds a swarm and binds its listeners.
pub(crate) async fn listening_swarm(
    options: &P2pOptions,
    setup: &Setup,
    peers: &Arc<Peers>,
) -> Result<ListeningSwarm, P2pError> {
    let whereabouts = Arc::new(Whereabouts::default());
    let transports = Transports::new(
        options.transport,
        &options.identity,
        setup.swarm_key,
        &whereabouts,
    )?;
    let config = Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT);
    let behaviour = Behaviour::new(options, setup, peers, transports.relay_client)?;
    let mut swarm = Swarm::new(transports.connections, behaviour, options.identity.id(), config);
    for address in &setup.external {
        swarm.add_external_address(address.clone());
    }
    let mut listeners = Vec::new();
    for address in listen_addresses(options, setup) {
        listeners.push(listen(&mut swarm, address).await?);
    }
    Ok(ListeningSwarm {
        swarm,
        listeners,
        whereabouts,
    })
}

/// None where the node is reached through relays only.
fn listen_addresses(options: &P2pOptions, setup: &Setup) -> Vec<Multiaddr> {
    if !options.network.listen {
        return Vec::new();
    }
    if options.transport == Transport::Memory {
        return vec![Multiaddr::empty().with(Protocol::Memory(u64::from(options.port)))];
    }
    let network = &options.network;
    let hosts = std::iter::once(network.host).chain(network.more_hosts.iter().copied());
    let addresses = hosts.flat_map(|host| {
        let host = Multiaddr::from(host);
        let quic = host
            .clone()
            .with(Protocol::Udp(options.port))
            .with(Protocol::QuicV1);
        let quic = setup.swarm_key.is_none().then_some(quic);
        std::iter::once(host.with(Protocol::Tcp(options.port))).chain(quic)
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
