use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::SelectAll};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::ConnectedPoint,
    identify, ping,
    swarm::{ConnectionId, SwarmEvent},
};
use tokio::{sync::mpsc, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    behaviour::{Behaviour, BehaviourEvent, KAD_PROTOCOL},
    command::Command,
    connections::{Connections, dialled_address},
    dialing::{Dialing, dial_peer},
    kad_driver::KadDriver,
    reachability::{Reachability, log_relay_client},
    routing_table,
    runner_handle::RunnerChannels,
    swarm::ListeningSwarm,
};
use crate::{
    error::P2pError,
    notices,
    parsed_config::ParsedConfig,
    server::{Served, Server},
    wire::Version,
};

/// Commands that may wait for the loop.
const COMMANDS: usize = 256;
/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(500);
/// Between two refreshes of the routing table; well below the time after which
/// idle connections are closed.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// Time for exchanges in flight to end when the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The event loop: owns the swarm, and hands events and commands to the parts
/// that handle them. Nothing else touches the swarm.
pub(crate) struct Runner {
    swarm: Swarm<Behaviour>,
    context: Arc<Context>,
    connections: Connections,
    dialing: Dialing,
    reachability: Reachability,
    kad: KadDriver,
    commands: mpsc::Receiver<Command>,
    server: Server,
}

impl Runner {
    /// A loop over a swarm that listens. From here on commands and streams are
    /// accepted.
    pub(crate) fn new(
        ListeningSwarm {
            mut swarm,
            listeners,
            observed,
        }: ListeningSwarm,
        context: Arc<Context>,
        parsed: &ParsedConfig,
    ) -> Self {
        let (sender, commands) = mpsc::channel(COMMANDS);
        context.runner.connect(RunnerChannels {
            commands: sender,
            streams: swarm.behaviour().objects.new_control(),
        });
        let now = Instant::now();
        let reachability = Reachability::new(context.clone(), parsed.relays.clone(), listeners, now);
        reachability.publish_listening(&swarm);
        reachability.update_external(&mut swarm);
        Self {
            swarm,
            connections: Connections::new(context.clone(), observed),
            dialing: Dialing::new(context.clone(), parsed.targets.clone(), now),
            reachability,
            kad: KadDriver::new(context.clone()),
            commands,
            server: Server::new(context.clone()),
            context,
        }
    }

    /// Dials the `remembered` peers, then runs until the node stops.
    pub(crate) async fn run(
        mut self,
        remembered: Vec<(PeerId, Vec<Multiaddr>)>,
        shutdown: CancellationToken,
    ) -> Result<(), P2pError> {
        let accepting = self.accept_streams()?;
        for (peer, addresses) in remembered {
            dial_peer(&mut self.swarm, peer, addresses);
        }
        let mut tick = tokio::time::interval(TICK);
        let mut refresh = tokio::time::interval(REFRESH);
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => {}
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(command) = self.commands.recv() => self.on_command(command),
                _ = tick.tick() => self.on_tick(),
                _ = refresh.tick() => routing_table::refresh(&mut self.swarm),
            }
        }
        accepting.abort();
        Box::pin(self.drain()).await;
        Ok(())
    }

    /// Accepts streams in a task of its own: they are dropped where nobody
    /// takes them at once.
    fn accept_streams(&mut self) -> Result<AbortHandle, P2pError> {
        let mut control = self.swarm.behaviour().objects.new_control();
        let mut incoming = SelectAll::new();
        let objects = Version::ALL.map(|version| (version.protocol(), Served::Objects(version)));
        let notices = notices::PROTOCOLS.map(|(version, protocol)| (protocol, Served::Notices(version)));
        for (protocol, served) in objects.into_iter().chain(notices) {
            let streams = control
                .accept(protocol)
                .map_err(|error| P2pError::Transport(error.to_string()))?;
            incoming.push(streams.map(move |(peer, stream)| (peer, served, stream)));
        }
        let server = self.server.clone();
        let accepting = tokio::spawn(async move {
            while let Some((peer, served, stream)) = incoming.next().await {
                server.accept(peer, served, stream);
            }
        });
        Ok(accepting.abort_handle())
    }

    /// Takes no new connection and lets what is in flight end.
    async fn drain(mut self) {
        self.context.runner.disconnect();
        self.reachability.stop_listening(&mut self.swarm);
        let server = self.server.clone();
        let served = tokio::time::timeout(DRAIN_TIMEOUT, server.finish());
        tokio::pin!(served);
        loop {
            tokio::select! {
                _ = &mut served => return,
                _ = self.swarm.select_next_some() => {}
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Kad(command) => self.kad.on_command(&mut self.swarm, command),
            Command::DialHints { from, hints } => {
                self.dialing
                    .dial_hints(&mut self.swarm, &mut self.connections, from, hints);
            }
        }
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        self.dialing.on_tick(&mut self.swarm, now);
        self.reachability.on_tick(&mut self.swarm, now);
        for peer in self.context.peers.take_banned() {
            // It may be gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        self.kad.on_tick(&mut self.swarm);
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                ..
            } => self.on_connection_closed(peer_id, connection_id, num_established),
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                self.dialing.on_dial_failed(peer_id, &error);
            }
            SwarmEvent::NewListenAddr { .. } => {
                self.reachability.update_external(&mut self.swarm);
                self.reachability.publish_listening(&self.swarm);
                routing_table::refresh(&mut self.swarm);
            }
            SwarmEvent::ExpiredListenAddr { .. } => self.reachability.publish_listening(&self.swarm),
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.reachability.on_listener_closed(listener_id);
                self.reachability.publish_listening(&self.swarm);
            }
            SwarmEvent::ListenerError { listener_id, error } => {
                self.reachability.on_listener_error(listener_id, &error);
            }
            SwarmEvent::ExternalAddrConfirmed { .. } | SwarmEvent::ExternalAddrExpired { .. } => {
                self.reachability.publish_external(&self.swarm);
            }
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Kad(event) => {
                self.kad.on_event(&mut self.swarm, &mut self.connections, event);
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, &info);
            }
            BehaviourEvent::Ping(ping::Event {
                peer,
                result: Ok(time),
                ..
            }) => self.context.peers.book.answered_ping(peer, time),
            BehaviourEvent::AutonatClient(event) => self.reachability.on_probed(&event),
            BehaviourEvent::Dcutr(event) => self.connections.on_hole_punched(&mut self.swarm, event),
            #[cfg(feature = "mdns")]
            BehaviourEvent::Mdns(libp2p::mdns::Event::Discovered(found)) => {
                self.dialing.dial_neighbours(&mut self.swarm, found);
            }
            BehaviourEvent::RelayClient(event) => log_relay_client(&event),
            #[cfg(feature = "upnp")]
            BehaviourEvent::Upnp(event) => super::router::log(&event),
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        self.context
            .paths
            .opened(peer, connection, endpoint.get_remote_address());
        self.dialing.on_connected(peer, dialled_address(endpoint));
        if self.context.peers.is_banned(&peer) {
            // It may be gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        }
        self.kad.connected.insert(&self.context.peers, peer);
        self.connections.on_established(peer, connection, endpoint);
    }

    fn on_connection_closed(&mut self, peer: PeerId, connection: ConnectionId, left: u32) {
        self.context.paths.closed(&peer, connection);
        self.connections.on_closed(peer, connection, left);
        if left == 0 {
            self.kad.connected.remove(&peer);
            if self.swarm.behaviour_mut().slots.take_evicted(&peer) {
                // Otherwise it would be dialled at once.
                self.context.peers.book.forget(&peer);
            }
            self.dialing.on_disconnected(&peer, Instant::now());
            self.reachability.on_disconnected(&peer);
        }
    }

    /// A peer told where it listens and what it speaks.
    fn on_identified(&mut self, peer: PeerId, info: &identify::Info) {
        let announced = &info.listen_addrs;
        let Some(mut addresses) = self.connections.plausible_addresses(peer, &peer, announced) else {
            return;
        };
        self.context.peers.book.reachable_at(peer, &addresses);
        if addresses.is_empty() {
            // It was dialled by a name, or told of none that makes sense from
            // here: where it was reached it can be reached again.
            addresses = self.context.peers.book.addresses(&peer);
        }
        self.reachability.note_relay(peer, info, &addresses);
        if info.protocols.contains(&KAD_PROTOCOL) {
            routing_table::insert(&mut self.swarm, peer, addresses);
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.context.runner.disconnect();
    }
}
