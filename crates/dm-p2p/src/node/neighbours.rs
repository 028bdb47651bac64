//! Nodes on the local network, which multicast finds (mDNS).

use dm_core::config::NetworkConfig;
use libp2p::{PeerId, mdns};

use crate::error::P2pError;

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
