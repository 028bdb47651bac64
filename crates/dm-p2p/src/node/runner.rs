use std::{
    collections::HashMap,
    slice,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::{ConnectedPoint, transport::ListenerId},
    identify, ping,
    swarm::{
        ConnectionId, DialError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{sync::mpsc, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    behaviour::{Behaviour, BehaviourEvent, KAD_PROTOCOL},
    command::Command,
    dialer::Dialer,
    guarded::Whereabouts,
    link::Ends,
    places::Places,
    queries::Queries,
    relays::Relays,
    subnets::is_crowded,
    swarm::ListeningSwarm,
    upkeep::Exchange,
};
use crate::{
    addresses::{is_relayed, usable},
    dht::{ReceivedRecord, check_received},
    error::P2pError,
    initial_peers::DialTarget,
    server::Server,
    setup::Setup,
    wire::PROTOCOL,
};

/// Commands that may wait for the loop.
const COMMANDS: usize = 256;
/// Received records that may wait to be checked; more are dropped.
const RECORDS: usize = 256;
/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(500);
/// Between two refreshes of the routing table; well below the time after which
/// idle connections are closed.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// Time for exchanges in flight to end when the node stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// Drives the swarm: the only place that touches it.
pub(crate) struct Runner {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) context: Arc<Context>,
    pub(super) queries: Queries,
    pub(super) records: mpsc::Sender<ReceivedRecord>,
    /// Where connected peers were first seen.
    pub(super) seen_at: HashMap<PeerId, Multiaddr>,
    whereabouts: Arc<Whereabouts>,
    listeners: Vec<ListenerId>,
    pub(super) dialer: Dialer,
    pub(super) exchange: Exchange,
    pub(super) relays: Relays,
    pub(super) places: Places,
    /// Peers that others have named and that are being dialled, and by whom.
    pub(super) rumours: HashMap<PeerId, PeerId>,
    /// The listeners that go through relays, with the relay's address.
    pub(super) circuits: HashMap<ListenerId, Multiaddr>,
    /// Connections that go through relays.
    pub(super) relayed: HashMap<PeerId, Vec<ConnectionId>>,
    remembered: Vec<(PeerId, Vec<Multiaddr>)>,
    commands: mpsc::Receiver<Command>,
    server: Server,
}

impl Runner {
    pub(crate) fn new(
        ListeningSwarm {
            swarm,
            listeners,
            whereabouts,
        }: ListeningSwarm,
        context: Arc<Context>,
        setup: &Setup,
        remembered: Vec<(PeerId, Vec<Multiaddr>)>,
    ) -> Self {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let (records, received) = mpsc::channel(RECORDS);
        tokio::spawn(check_received(context.clone(), received));
        context.link.connect(Ends {
            commands: sender,
            streams: swarm.behaviour().objects.new_control(),
        });
        let now = Instant::now();
        let enough = context.network.min_peers as usize;
        let exchange_interval = Duration::from_secs(context.network.peer_exchange_interval_secs);
        let mut runner = Self {
            server: Server::new(context.clone()),
            swarm,
            context,
            queries: Queries::default(),
            records,
            seen_at: HashMap::new(),
            whereabouts,
            listeners,
            dialer: Dialer::new(setup.targets.clone(), enough, now),
            exchange: Exchange::new(exchange_interval, now),
            relays: Relays::new(setup.relays.clone(), now),
            places: Places::default(),
            rumours: HashMap::new(),
            circuits: HashMap::new(),
            relayed: HashMap::new(),
            remembered,
            commands,
        };
        runner.listening_changed();
        runner.tell_relayed();
        runner
    }

    /// Runs until the node stops.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), P2pError> {
        let accepting = self.accept_streams()?;
        self.dial_remembered();
        let mut tick = tokio::time::interval(TICK);
        let mut refresh = tokio::time::interval(REFRESH);
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => {}
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(command) = self.commands.recv() => self.on_command(command),
                _ = tick.tick() => self.on_tick(),
                _ = refresh.tick() => self.refresh_routing_table(),
            }
        }
        accepting.abort();
        Box::pin(self.say_farewell()).await;
        Ok(())
    }

    /// Accepts streams in a task of its own: they are dropped where nobody
    /// takes them at once.
    fn accept_streams(&mut self) -> Result<AbortHandle, P2pError> {
        let mut control = self.swarm.behaviour().objects.new_control();
        let mut incoming = control
            .accept(PROTOCOL)
            .map_err(|error| P2pError::Transport(error.to_string()))?;
        let server = self.server.clone();
        let accepting = tokio::spawn(async move {
            while let Some((peer, stream)) = incoming.next().await {
                server.accept(peer, stream);
            }
        });
        Ok(accepting.abort_handle())
    }

    /// Takes no new connection and lets what is in flight end.
    async fn say_farewell(mut self) {
        self.context.link.disconnect();
        let listeners = std::mem::take(&mut self.listeners);
        let circuits = std::mem::take(&mut self.circuits).into_keys();
        for listener in listeners.into_iter().chain(circuits) {
            self.swarm.remove_listener(listener);
        }
        let server = self.server.clone();
        let served = tokio::time::timeout(FAREWELL, server.finish());
        tokio::pin!(served);
        loop {
            tokio::select! {
                _ = &mut served => return,
                _ = self.swarm.select_next_some() => {}
            }
        }
    }

    fn on_tick(&mut self) {
        self.keep_up(Instant::now());
        self.keep_reachable(Instant::now());
        for peer in self.context.peers.take_banned() {
            // It may be gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        for query in self.queries.take_abandoned() {
            if let Some(mut query) = self.swarm.behaviour_mut().kad.query_mut(&query) {
                query.finish();
            }
        }
    }

    pub(super) fn dial_target(&mut self, target: DialTarget) {
        // Without a peer id one dial has one address.
        let dials: Vec<DialOpts> = match target.peer {
            Some(peer) => vec![dial_peer(peer, target.addresses)],
            None => target.addresses.into_iter().map(DialOpts::from).collect(),
        };
        for opts in dials {
            self.dial(opts);
        }
    }

    fn dial_remembered(&mut self) {
        for (peer, addresses) in std::mem::take(&mut self.remembered) {
            self.dial(dial_peer(peer, addresses));
        }
    }

    /// Whether the dial has begun.
    pub(super) fn dial(&mut self, opts: DialOpts) -> bool {
        let begun = self.swarm.dial(opts);
        if let Err(error) = &begun {
            tracing::debug!(%error, "not dialled");
        }
        begun.is_ok()
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => self.on_kad_event(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => self.on_identified(peer_id, &info),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                peer,
                result: Ok(time),
                ..
            })) => {
                self.context.peers.answered_ping(peer, time);
            }
            SwarmEvent::Behaviour(event) => self.on_reach_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                let remote = endpoint.get_remote_address();
                self.context.paths.opened(peer_id, connection_id, remote);
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                ..
            } => {
                self.context.paths.closed(&peer_id, connection_id);
                self.on_connection_closed(peer_id, connection_id, num_established);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                self.on_dial_failed(peer_id, &error);
            }
            SwarmEvent::NewListenAddr { .. } => {
                self.tell_relayed();
                self.listening_changed();
                self.refresh_routing_table();
            }
            SwarmEvent::ExpiredListenAddr { .. } => self.listening_changed(),
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.on_listener_closed(listener_id);
                self.listening_changed();
            }
            SwarmEvent::ExternalAddrConfirmed { .. } | SwarmEvent::ExternalAddrExpired { .. } => {
                self.external_changed();
            }
            SwarmEvent::ListenerError { listener_id, error } if self.circuits.contains_key(&listener_id) => {
                tracing::debug!(%error, "a relay is of no use");
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener failed"),
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let dialled = match endpoint {
            ConnectedPoint::Dialer { address, .. } => Some(address),
            ConnectedPoint::Listener { .. } => None,
        };
        self.dialer.connected(peer, dialled);
        self.rumours.remove(&peer);
        if self.context.peers.is_banned(&peer) {
            // It may be gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        }
        if endpoint.is_relayed() {
            self.relayed.entry(peer).or_default().push(connection);
        }
        if let Some(address) = dialled {
            self.places.met(peer, address);
        }
        match self.seen_at.get(&peer) {
            None => self.context.peers.connected(peer, dialled),
            Some(before) if is_relayed(before) && !endpoint.is_relayed() => {
                self.context
                    .peers
                    .reachable_at(peer, dialled.map_or(&[], slice::from_ref));
            }
            Some(_) => return,
        }
        self.seen_at.insert(peer, seen_at(endpoint));
        self.whereabouts.connected(peer, seen_at(endpoint));
    }

    fn on_connection_closed(&mut self, peer: PeerId, connection: ConnectionId, left: u32) {
        if let Some(relayed) = self.relayed.get_mut(&peer) {
            relayed.retain(|known| *known != connection);
        }
        if left > 0 {
            return;
        }
        self.dialer.disconnected(&peer, Instant::now());
        self.relays.disconnected(&peer);
        self.places.disconnected(&peer);
        self.relayed.remove(&peer);
        self.whereabouts.disconnected(&peer);
        self.context.streams.forget(&peer);
        if self.seen_at.remove(&peer).is_some() {
            self.context.peers.disconnected(peer);
        }
    }

    fn on_dial_failed(&mut self, peer: Option<PeerId>, error: &DialError) {
        tracing::debug!(?peer, %error, "dial failed");
        let teller = peer.and_then(|peer| self.rumours.remove(&peer));
        if let (Some(teller), DialError::WrongPeerId { .. }) = (teller, error) {
            self.context
                .peers
                .disturbed(teller, "it names a peer that is not there");
        }
        match (peer, error) {
            (_, DialError::LocalPeerId { address }) => self.dialer.is_self(address),
            (Some(peer), DialError::WrongPeerId { address, .. }) => self.is_elsewhere(peer, address),
            (Some(peer), DialError::Transport(_)) => self.context.peers.failed(peer),
            _ => {}
        }
    }

    /// A peer told where it listens and what it speaks.
    fn on_identified(&mut self, peer: PeerId, info: &identify::Info) {
        let Some(seen_at) = self.seen_at.get(&peer) else {
            return;
        };
        let mut addresses = usable(&info.listen_addrs, seen_at);
        self.remove_foreign(peer, &peer, &mut addresses);
        self.context.peers.reachable_at(peer, &addresses);
        if addresses.is_empty() {
            // It was dialled by a name, or told of none that makes sense from
            // here: where it was reached it can be reached again.
            addresses = self.context.peers.addresses(&peer);
        }
        self.note_relay(peer, info, &addresses);
        if !info.protocols.contains(&KAD_PROTOCOL) {
            return;
        }
        if self.is_crowded(&peer, &addresses) {
            tracing::debug!(%peer, "too many peers of its network are in the routing table");
            return;
        }
        for address in addresses {
            self.swarm.behaviour_mut().kad.add_address(&peer, address);
        }
    }

    /// Whether the routing table has enough of the networks of these addresses.
    fn is_crowded(&mut self, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
        let mut table: Vec<Vec<Multiaddr>> = Vec::new();
        for bucket in self.swarm.behaviour_mut().kad.kbuckets() {
            let others = bucket.iter().filter(|entry| entry.node.key.preimage() != peer);
            table.extend(others.map(|entry| entry.node.value.iter().cloned().collect()));
        }
        is_crowded(addresses, table.iter().map(|entry| entry.iter().collect()))
    }

    fn listening_changed(&mut self) {
        let local = *self.swarm.local_peer_id();
        let listening: Vec<Multiaddr> = self
            .swarm
            .listeners()
            .filter_map(|address| address.clone().with_p2p(local).ok())
            .collect();
        *self
            .context
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = listening;
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.context.link.disconnect();
    }
}

/// Where a peer is: of one that came through a relay, at the relay.
fn seen_at(endpoint: &ConnectedPoint) -> Multiaddr {
    match endpoint {
        ConnectedPoint::Listener { local_addr, .. } if endpoint.is_relayed() => local_addr.clone(),
        endpoint => endpoint.get_remote_address().clone(),
    }
}

/// Dials a peer unless it is connected or being dialled.
pub(super) fn dial_peer(peer: PeerId, addresses: Vec<Multiaddr>) -> DialOpts {
    DialOpts::peer_id(peer)
        .condition(PeerCondition::DisconnectedAndNotDialing)
        .addresses(addresses)
        .build()
}
