//! Nodes on the local network, which multicast finds (mDNS).

use dm_core::config::NetworkConfig;
use libp2p::{Multiaddr, PeerId, mdns};

use super::runner::{Runner, dial_peer};
use crate::{addresses::usable_nearby, error::P2pError};

/// Peers on the local network that are dialled at one time.
const DIALS_OF_NEIGHBOURS: usize = 8;

/// The behaviour that finds them, if the settings ask for it.
pub(super) fn multicast(
    local: PeerId,
    network: &NetworkConfig,
) -> Result<Option<mdns::tokio::Behaviour>, P2pError> {
    if !network.mdns {
        return Ok(None);
    }
    let behaviour = mdns::tokio::Behaviour::new(mdns::Config::default(), local);
    behaviour
        .map(Some)
        .map_err(|error| P2pError::Transport(format!("mDNS: {error}")))
}

impl Runner {
    pub(super) fn meet_neighbours(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let room = self.free_dials().min(DIALS_OF_NEIGHBOURS);
        for (peer, address) in found.into_iter().take(room) {
            let addresses = usable_nearby(&[address]);
            if !addresses.is_empty() && !self.context.peers.is_banned(&peer) {
                self.dial(dial_peer(peer, addresses));
            }
        }
    }
}
