//! Whether peers are reached, and whether others can reach this node, as far as that can be
//! said from this machine.

use std::net::IpAddr;

use dm_core::config::NodeConfig;

use super::{Finding, reach};

const CHECK: &str = "peers";

pub(super) async fn examine(config: &NodeConfig) -> Vec<Finding> {
    let mut reached = Vec::new();
    for peer in &config.initial_peers {
        if let Some((host, port)) = place(peer) {
            let answer = reach::connect(&host, port).await;
            reached.push((format!("{host}:{port}"), answer));
        }
    }
    let mut findings = judge(&config.initial_peers, &reached);
    findings.push(from_outside(config));
    findings
}

/// Host and port of a peer that is reached over TCP.
fn place(peer: &str) -> Option<(String, u16)> {
    let peer = peer.trim().trim_start_matches("http://").trim_end_matches('/');
    if let Some(multiaddr) = peer.strip_prefix('/') {
        let parts: Vec<&str> = multiaddr.split('/').collect();
        let [kind, host, "tcp", port, ..] = parts[..] else {
            return None;
        };
        let is_host = ["ip4", "ip6", "dns", "dns4", "dns6"].contains(&kind);
        return is_host.then(|| Some((host.to_owned(), port.parse().ok()?)))?;
    }
    let (host, port) = peer.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

fn judge(configured: &[String], reached: &[(String, Result<(), String>)]) -> Vec<Finding> {
    if configured.is_empty() {
        let found = "initial_peers is empty: the node knows nobody but those that it knew before";
        return vec![Finding::warning(
            CHECK,
            found,
            "name two or more peers in initial_peers",
        )];
    }
    let nobody = !reached.is_empty() && reached.iter().all(|(_, answer)| answer.is_err());
    let one = |(place, answer): &(String, Result<(), String>)| match answer {
        Ok(()) => Finding::good(CHECK, format!("{place} accepts connections")),
        Err(why) => {
            let found = format!("{place} does not answer over TCP: {why}");
            let action = "ask its operator whether it runs, and check the firewall";
            if nobody {
                Finding::fault(CHECK, found, action)
            } else {
                Finding::warning(CHECK, found, action)
            }
        }
    };
    reached.iter().map(one).collect()
}

fn from_outside(config: &NodeConfig) -> Finding {
    let network = &config.network;
    let port = config.p2p_port;
    if !network.listen {
        let found = "network.listen is false: others reach the node through relays";
        return Finding::good(CHECK, found);
    }
    if network.host.is_loopback() {
        let found = format!(
            "network.host is {}: no other machine reaches the node",
            network.host
        );
        return Finding::warning(
            CHECK,
            found,
            "set network.host to 0.0.0.0 or an address of this machine",
        );
    }
    if !network.external_addresses.is_empty() {
        let found = format!("the node tells peers its external_addresses; TCP and UDP {port} must lead here");
        return Finding::good(CHECK, found);
    }
    if network.autonat || is_public(network.host) {
        let found = format!("the running node finds out from peers whether TCP and UDP {port} lead here");
        return Finding::good(CHECK, found);
    }
    let found =
        "network.autonat is off and there are no external_addresses: a node behind a router is not reached";
    let action = "switch network.autonat on, or set network.external_addresses";
    Finding::warning(CHECK, found, action)
}

fn is_public(host: IpAddr) -> bool {
    match host {
        IpAddr::V4(host) => !host.is_private() && !host.is_unspecified() && !host.is_link_local(),
        IpAddr::V6(host) => {
            !host.is_unique_local() && !host.is_unspecified() && !host.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Severity, *};

    #[test]
    fn places_are_read_from_every_form_of_a_peer() {
        let found = Some(("192.0.2.1".to_owned(), 9000));
        for peer in [
            "192.0.2.1:9000",
            "http://192.0.2.1:9000/",
            "/ip4/192.0.2.1/tcp/9000/p2p/ID",
        ] {
            assert_eq!(place(peer), found, "{peer}");
        }
        assert_eq!(place("/ip4/192.0.2.1/udp/9000/quic-v1"), None);
        assert_eq!(place("/memory/7"), None);
    }

    #[test]
    fn peers_that_do_not_answer_are_found() {
        let peers = ["a:1".to_owned()];
        let away = || ("a:1".to_owned(), Err("refused".to_owned()));
        let there = ("b:1".to_owned(), Ok(()));
        assert_eq!(judge(&[], &[])[0].severity, Severity::Warning);
        assert_eq!(judge(&peers, &[away()])[0].severity, Severity::Fault);
        assert_eq!(judge(&peers, &[away(), there])[0].severity, Severity::Warning);
    }

    #[test]
    fn a_node_that_nobody_can_reach_is_found() {
        let mut config = NodeConfig::default();
        assert_eq!(from_outside(&config).severity, Severity::Good);
        config.network.autonat = false;
        assert_eq!(from_outside(&config).severity, Severity::Warning);
        config.network.host = [127, 0, 0, 1].into();
        assert!(from_outside(&config).found.contains("no other machine"));
    }
}
