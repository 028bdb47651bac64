//! The part of the event loop that sees to it that others reach this node.

use std::time::Instant;

use libp2p::{
    Multiaddr, PeerId, autonat::v2::client as autonat, core::transport::ListenerId, dcutr, identify, relay,
};

use super::{behaviour::BehaviourEvent, runner::Runner};
use crate::addresses::is_relayed;

impl Runner {
    /// Listens through the relays whose turn it is.
    pub(super) fn keep_reachable(&mut self, now: Instant) {
        for address in self.relays.due(now) {
            match self.swarm.listen_on(address.clone()) {
                Ok(listener) => drop(self.circuits.insert(listener, address)),
                Err(error) => {
                    tracing::debug!(%address, %error, "a relay cannot be used");
                    self.relays.closed(&address);
                }
            }
        }
    }

    pub(super) fn on_reach_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Reach(event) => self.on_tested(&event),
            BehaviourEvent::RelayClient(relay::client::Event::ReservationReqAccepted {
                relay_peer_id,
                renewal: false,
                ..
            }) => tracing::info!(relay = %relay_peer_id, "this node is reached through a relay"),
            BehaviourEvent::Direct(event) => self.on_direct(event),
            #[cfg(feature = "upnp")]
            BehaviourEvent::Upnp(event) => super::router::log(&event),
            #[cfg(feature = "mdns")]
            BehaviourEvent::Mdns(libp2p::mdns::Event::Discovered(found)) => self.meet_neighbours(found),
            _ => {}
        }
    }

    fn on_tested(&mut self, event: &autonat::Event) {
        let address = &event.tested_addr;
        match &event.result {
            Ok(()) => tracing::info!(%address, "this node is reached from outside"),
            Err(error) => tracing::debug!(%address, %error, "this node is not reached from outside"),
        }
        self.relays.tested(event.result.is_ok());
    }

    /// Streams go over any of a peer's connections; those through the relay
    /// are slower and not needed any more.
    fn on_direct(&mut self, event: dcutr::Event) {
        let peer = event.remote_peer_id;
        match event.result {
            Ok(_) => {
                tracing::debug!(%peer, "a direct connection replaces the one through a relay");
                for connection in self.relayed.remove(&peer).unwrap_or_default() {
                    self.swarm.close_connection(connection);
                }
            }
            Err(error) => tracing::debug!(%peer, %error, "there is no direct connection"),
        }
    }

    /// Remembers a peer that relays for others, and is not itself behind one.
    pub(super) fn note_relay(&mut self, peer: PeerId, info: &identify::Info, addresses: &[Multiaddr]) {
        let relays = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
        let direct = addresses.iter().find(|address| !is_relayed(address));
        if let Some(address) = direct.filter(|_| relays) {
            self.relays.volunteers(peer, address.clone());
        }
    }

    /// A relay tells its clients under which addresses it is reached: those
    /// that were set, else those it listens on.
    pub(super) fn tell_relayed(&mut self) {
        let network = &self.context.network;
        if network.relay_server && network.external_addresses.is_empty() {
            let own: Vec<Multiaddr> = self.swarm.listeners().cloned().collect();
            for address in own.into_iter().filter(|address| !is_relayed(address)) {
                self.swarm.add_external_address(address);
            }
        }
        self.external_changed();
    }

    pub(super) fn on_listener_closed(&mut self, listener: ListenerId) {
        if let Some(address) = self.circuits.remove(&listener) {
            tracing::debug!(%address, "this node is not reached through this relay any more");
            self.relays.closed(&address);
        }
    }

    pub(super) fn external_changed(&mut self) {
        let external: Vec<Multiaddr> = self.swarm.external_addresses().cloned().collect();
        self.context.set_external(external);
    }
}
