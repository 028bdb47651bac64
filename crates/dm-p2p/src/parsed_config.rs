//! Parses the network configuration and reports all its faults at once.

use std::collections::HashSet;

use dm_core::config::{ConfigFault, NetworkConfig};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use crate::{
    addresses::{is_quic, is_relayed, peer_of},
    initial_peers::{DialTarget, parse_initial_peer},
    swarm_key::SwarmKey,
};

/// The network configuration in parsed form.
#[derive(Debug, Clone)]
pub(crate) struct ParsedConfig {
    /// Peers to begin with.
    pub(crate) targets: Vec<DialTarget>,
    /// Who may connect; empty means everybody.
    pub(crate) allowed: Vec<PeerId>,
    /// Where this node is reached from outside, without peer id.
    pub(crate) external: Vec<Multiaddr>,
    /// Relays to listen through, peer id included.
    pub(crate) relays: Vec<Multiaddr>,
    /// What all nodes of a private network know.
    pub(crate) swarm_key: Option<SwarmKey>,
}

/// Every fault of the fields whose form this crate defines; empty where a
/// node can start with them. Reads the file of the swarm key.
pub fn network_faults(initial_peers: &[String], network: &NetworkConfig) -> Vec<ConfigFault> {
    ParsedConfig::read(initial_peers, network)
        .err()
        .unwrap_or_default()
}

impl ParsedConfig {
    /// Parses the configuration and reads the swarm key, or returns every fault.
    pub(crate) fn read(initial_peers: &[String], network: &NetworkConfig) -> Result<Self, Vec<ConfigFault>> {
        let mut faults = Vec::new();
        let parsed = Self {
            targets: each("initial_peers", initial_peers, target, &mut faults),
            allowed: each("network.allowed_peers", &network.allowed_peers, peer, &mut faults),
            external: each(
                "network.external_addresses",
                &network.external_addresses,
                external,
                &mut faults,
            ),
            relays: each("network.relays", &network.relays, relay, &mut faults),
            swarm_key: swarm_key(network, &mut faults),
        };
        if network.swarm_key_file.is_some() {
            parsed.refuse_quic(&mut faults);
        }
        refuse_what_is_not_built(network, &mut faults);
        if faults.is_empty() {
            Ok(parsed)
        } else {
            Err(faults)
        }
    }

    /// Every peer that the configuration names.
    pub(crate) fn named_peers(&self) -> HashSet<PeerId> {
        let initial = self.targets.iter().filter_map(|target| target.peer);
        let relays = self.relays.iter().filter_map(peer_of);
        initial
            .chain(relays)
            .chain(self.allowed.iter().copied())
            .collect()
    }

    /// libp2p protects TCP with a swarm key; QUIC has its own encryption and
    /// no place for one.
    fn refuse_quic(&self, faults: &mut Vec<ConfigFault>) {
        let targets = self.targets.iter().filter(|target| target.is_quic_only());
        let targets = targets.filter_map(|target| Some(("initial_peers", target.addresses.first()?)));
        let external = self
            .external
            .iter()
            .map(|address| ("network.external_addresses", address));
        let relays = self.relays.iter().map(|address| ("network.relays", address));
        for (field, address) in targets.chain(external).chain(relays) {
            if is_quic(address) {
                let reason =
                    format!("'{address}': there is no QUIC in a network with a swarm_key_file, use /tcp");
                faults.push(fault(field, reason));
            }
        }
    }
}

/// The entries of a list, read; those that cannot be are faults.
fn each<T>(
    field: &str,
    entries: &[String],
    read: impl Fn(&str) -> Result<T, String>,
    faults: &mut Vec<ConfigFault>,
) -> Vec<T> {
    let mut items = Vec::new();
    for entry in entries {
        match read(entry) {
            Ok(item) => items.push(item),
            Err(reason) => faults.push(fault(field, reason)),
        }
    }
    items
}

/// A setting whose code is left out of this build would otherwise do nothing.
fn refuse_what_is_not_built(network: &NetworkConfig, faults: &mut Vec<ConfigFault>) {
    let optional = [
        ("mdns", network.mdns, cfg!(feature = "mdns")),
        ("upnp", network.upnp, cfg!(feature = "upnp")),
    ];
    for (name, is_wanted, is_built) in optional {
        if is_wanted && !is_built {
            let reason = format!("dm-p2p is built without its feature `{name}`");
            faults.push(fault(&format!("network.{name}"), reason));
        }
    }
}

fn fault(field: &str, reason: String) -> ConfigFault {
    ConfigFault {
        field: field.to_owned(),
        reason,
    }
}

fn target(text: &str) -> Result<DialTarget, String> {
    parse_initial_peer(text).map_err(|error| error.to_string())
}

fn external(text: &str) -> Result<Multiaddr, String> {
    let multiaddr = text.trim().starts_with('/').then(|| target(text));
    let address = multiaddr.and_then(|target| target.ok()?.addresses.pop());
    address.filter(|address| !is_relayed(address)).ok_or_else(|| {
        format!("'{text}' is no address of a node: expected one such as /ip4/192.0.2.1/tcp/9000")
    })
}

fn peer(text: &str) -> Result<PeerId, String> {
    text.parse().map_err(|_| format!("'{text}' is no peer id"))
}

fn relay(text: &str) -> Result<Multiaddr, String> {
    let expected =
        || format!("'{text}' is no relay: expected an address such as /ip4/192.0.2.1/tcp/9000/p2p/ID");
    let target = target(text).map_err(|_| expected())?;
    match (target.peer, target.addresses.as_slice()) {
        (Some(peer), [address]) if !is_relayed(address) => Ok(address.clone().with(Protocol::P2p(peer))),
        _ => Err(expected()),
    }
}

fn swarm_key(network: &NetworkConfig, faults: &mut Vec<ConfigFault>) -> Option<SwarmKey> {
    match SwarmKey::read(network.swarm_key_file.as_ref()?) {
        Ok(key) => Some(key),
        Err(reason) => {
            faults.push(fault("network.swarm_key_file", reason));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";

    fn faults(change: impl FnOnce(&mut NetworkConfig)) -> Vec<String> {
        let mut network = NetworkConfig::default();
        change(&mut network);
        let faults = network_faults(&["127.0.0.1:9000".to_owned()], &network);
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_setting_without_its_feature_is_a_fault() {
        let found = faults(|network| (network.mdns, network.upnp) = (true, true));
        let fault = |name: &str| format!("network.{name}: dm-p2p is built without its feature `{name}`");
        assert_eq!(found.contains(&fault("mdns")), !cfg!(feature = "mdns"));
        assert_eq!(found.contains(&fault("upnp")), !cfg!(feature = "upnp"));
    }

    #[test]
    fn all_faults_are_found_at_once_and_named() {
        let found = faults(|network| {
            network.allowed_peers = vec!["nobody".into(), PEER.into()];
            network.external_addresses = vec!["192.0.2.1:9000".into(), "/ip4/192.0.2.1/tcp/9000".into()];
            network.relays = vec!["/ip4/192.0.2.1/tcp/9000".into()];
            network.swarm_key_file = Some("/does/not/exist".into());
        });
        let fields = [
            "network.allowed_peers: 'nobody'",
            "network.external_addresses: '192.0.2.1:9000'",
            "network.relays: '/ip4/192.0.2.1/tcp/9000'",
            "network.swarm_key_file: cannot read /does/not/exist",
        ];
        assert_eq!(found.len(), fields.len(), "{found:?}");
        for (found, field) in found.iter().zip(fields) {
            assert!(found.starts_with(field), "{found}");
        }
    }

    #[test]
    fn a_relay_is_named_with_its_peer() {
        let relay = format!("/ip4/192.0.2.1/tcp/9000/p2p/{PEER}");
        let read = |entry: &str| {
            let network = NetworkConfig {
                relays: vec![entry.to_owned()],
                ..NetworkConfig::default()
            };
            ParsedConfig::read(&[], &network).map(|parsed| parsed.relays)
        };
        assert_eq!(read(&relay).unwrap(), [relay.parse().unwrap()]);
        assert!(read(&format!("{relay}/p2p-circuit/p2p/{PEER}")).is_err());
        assert!(read("relay.example:9000").is_err());
    }

    #[test]
    fn with_a_swarm_key_no_address_may_be_quic() {
        let quic = "/ip4/192.0.2.1/udp/9000/quic-v1";
        let network = NetworkConfig {
            external_addresses: vec![quic.into()],
            relays: vec![format!("{quic}/p2p/{PEER}")],
            // That it cannot be read is one fault more.
            swarm_key_file: Some("/does/not/exist".into()),
            ..NetworkConfig::default()
        };
        let found = network_faults(&[quic.into(), "192.0.2.1:9000".into()], &network);
        let fields: Vec<&str> = found.iter().map(|fault| fault.field.as_str()).collect();
        let expected = [
            "network.swarm_key_file",
            "initial_peers",
            "network.external_addresses",
            "network.relays",
        ];
        assert_eq!(fields, expected);
    }
}
