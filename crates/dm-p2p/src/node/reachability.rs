//! Sees to it that others reach this node: its listeners, its relays and its
//! external addresses.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId, Swarm, autonat::v2::client as autonat, core::transport::ListenerId, identify, relay,
    upnp,
};

use super::{Context, behaviour::Behaviour, relays::Relays};
use crate::addresses::is_relayed;

/// Where this node listens and how it is reached.
pub(super) struct Reachability {
    context: Arc<Context>,
    relays: Relays,
    listeners: Vec<ListenerId>,
    /// The listeners that go through relays, with the relay's address.
    circuits: HashMap<ListenerId, Multiaddr>,
}

impl Reachability {
    /// `relays`: those that were configured; `listeners`: those that are bound.
    pub(super) fn new(
        context: Arc<Context>,
        relays: Vec<Multiaddr>,
        listeners: Vec<ListenerId>,
        now: Instant,
    ) -> Self {
        Self {
            context,
            relays: Relays::new(relays, now),
            listeners,
            circuits: HashMap::new(),
        }
    }

    /// Listens through the relays whose turn it is.
    pub(super) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        for address in self.relays.take_due(now) {
            match swarm.listen_on(address.clone()) {
                Ok(listener) => drop(self.circuits.insert(listener, address)),
                Err(error) => {
                    tracing::debug!(%address, %error, "a relay cannot be used");
                    self.relays.closed(&address);
                }
            }
        }
    }

    /// A peer has tested whether an address of this node is reached.
    pub(super) fn on_probed(&mut self, event: &autonat::Event) {
        let address = &event.tested_addr;
        match &event.result {
            Ok(()) => tracing::info!(%address, "this node is reached from outside"),
            Err(error) => tracing::debug!(%address, %error, "this node is not reached from outside"),
        }
        self.relays.probed(event.result.is_ok());
    }

    /// Remembers a peer that relays for others, and is not itself behind one.
    pub(super) fn note_relay(&mut self, peer: PeerId, info: &identify::Info, addresses: &[Multiaddr]) {
        let relays = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
        let direct = addresses.iter().find(|address| !is_relayed(address));
        if let Some(address) = direct.filter(|_| relays) {
            self.relays.add_candidate(peer, address.clone());
        }
    }

    /// The last connection with a peer is gone.
    pub(super) fn on_disconnected(&mut self, peer: &PeerId) {
        self.relays.disconnected(peer);
    }

    /// A relay tells its clients at which addresses it is reached, which are
    /// its external ones: those that were configured, else those it listens on.
    pub(super) fn update_external(&self, swarm: &mut Swarm<Behaviour>) {
        let network = &self.context.network;
        if network.relay_server && network.external_addresses.is_empty() {
            let own: Vec<Multiaddr> = swarm.listeners().cloned().collect();
            for address in own.into_iter().filter(|address| !is_relayed(address)) {
                swarm.add_external_address(address);
            }
        }
        self.publish_external(swarm);
    }

    /// Shares the external addresses with the rest of the node.
    pub(super) fn publish_external(&self, swarm: &Swarm<Behaviour>) {
        self.context
            .set_external(swarm.external_addresses().cloned().collect());
    }

    /// Shares the listening addresses with the rest of the node.
    pub(super) fn publish_listening(&self, swarm: &Swarm<Behaviour>) {
        let local = *swarm.local_peer_id();
        let listening: Vec<Multiaddr> = swarm
            .listeners()
            .filter_map(|address| address.clone().with_p2p(local).ok())
            .collect();
        *self
            .context
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = listening;
    }

    pub(super) fn on_listener_closed(&mut self, listener: ListenerId) {
        if let Some(address) = self.circuits.remove(&listener) {
            tracing::debug!(%address, "this node is not reached through this relay any more");
            self.relays.closed(&address);
        }
    }

    pub(super) fn on_listener_error(&self, listener: ListenerId, error: &std::io::Error) {
        if self.circuits.contains_key(&listener) {
            tracing::debug!(%error, "a relay is of no use");
        } else {
            tracing::warn!(%error, "a listener failed");
        }
    }

    /// Closes all listeners, those through relays included.
    pub(super) fn stop_listening(&mut self, swarm: &mut Swarm<Behaviour>) {
        let listeners = std::mem::take(&mut self.listeners);
        let circuits = std::mem::take(&mut self.circuits).into_keys();
        for listener in listeners.into_iter().chain(circuits) {
            swarm.remove_listener(listener);
        }
    }
}

pub(super) fn log_relay_client(event: &relay::client::Event) {
    if let relay::client::Event::ReservationReqAccepted {
        relay_peer_id,
        renewal: false,
        ..
    } = event
    {
        tracing::info!(relay = %relay_peer_id, "this node is reached through a relay");
    }
}

pub(super) fn log_upnp(event: &upnp::Event) {
    match event {
        upnp::Event::NewExternalAddr { external_addr, .. } => {
            tracing::info!(address = %external_addr, "the router forwards the port");
        }
        upnp::Event::GatewayNotFound => tracing::info!("there is no router that speaks UPnP"),
        event => tracing::debug!(?event, "UPnP"),
    }
}
