//! Whether the node's ports can be taken.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
};

use dm_core::config::NodeConfig;

use super::Finding;

const CHECK: &str = "ports";

/// A port that the node takes.
struct Port {
    setting: &'static str,
    address: SocketAddr,
    is_udp: bool,
}

/// Tries to take the ports, unless the node itself `runs` and has them.
pub(super) fn examine(config: &NodeConfig, runs: bool) -> Vec<Finding> {
    if runs {
        let found = "the node runs in this data directory and has its ports";
        return vec![Finding::good(CHECK, found)];
    }
    let faults: Vec<Finding> = ports(config)
        .iter()
        .filter_map(|port| judge(port, take(port)))
        .collect();
    if faults.is_empty() {
        return vec![Finding::good(CHECK, "all ports of the node are free")];
    }
    faults
}

fn ports(config: &NodeConfig) -> Vec<Port> {
    let tcp = |setting, host: IpAddr, port| Port {
        setting,
        address: SocketAddr::new(host, port),
        is_udp: false,
    };
    let apis = [
        ("internal_api.port", &config.internal_api),
        ("external_api.port", &config.external_api),
        ("dashboard_api.port", &config.dashboard_api),
    ];
    let mut ports: Vec<Port> = apis
        .into_iter()
        .map(|(setting, api)| tcp(setting, api.host, api.port))
        .collect();
    if let Ok(Some(address)) = config.metrics.address() {
        ports.push(tcp("metrics.listen", address.ip(), address.port()));
    }
    let network = &config.network;
    if network.listen {
        let port = tcp("p2p_port", network.host, config.p2p_port);
        // A private network has no QUIC.
        if network.swarm_key_file.is_none() {
            ports.push(Port { is_udp: true, ..port });
        }
        ports.push(tcp("p2p_port", network.host, config.p2p_port));
    }
    ports
}

fn take(port: &Port) -> io::Result<()> {
    if port.is_udp {
        UdpSocket::bind(port.address).map(drop)
    } else {
        TcpListener::bind(port.address).map(drop)
    }
}

fn judge(port: &Port, taken: io::Result<()>) -> Option<Finding> {
    let error = taken.err()?;
    let Port {
        setting,
        address,
        is_udp,
    } = port;
    let kind = if *is_udp { "UDP" } else { "TCP" };
    let number = address.port();
    let action = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("end the program that has it (`ss -lnp 'sport = :{number}'`), or set {setting}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("set {setting} to a port above 1023, or give the service CAP_NET_BIND_SERVICE")
        }
        io::ErrorKind::AddrNotAvailable => "set the host to an address of this machine".to_owned(),
        _ => format!("set {setting} to another port"),
    };
    let found = format!("{setting}: {kind} {address} cannot be taken: {error}");
    Some(Finding::fault(CHECK, found, action))
}

#[cfg(test)]
mod tests {
    use super::{super::Severity, *};

    #[test]
    fn a_port_that_another_program_has_is_found() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = NodeConfig::default();
        config.network.listen = false;
        config.internal_api.port = 0;
        config.external_api.port = 0;
        config.dashboard_api.port = 0;
        config.metrics.listen = "127.0.0.1:0".to_owned();
        config.external_api.host = [127, 0, 0, 1].into();
        assert_eq!(examine(&config, false)[0].severity, Severity::Good);
        config.external_api.port = taken.local_addr().unwrap().port();
        let findings = examine(&config, false);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Fault);
        assert!(
            findings[0].found.starts_with("external_api.port: TCP"),
            "{findings:?}"
        );
        assert_eq!(examine(&config, true)[0].severity, Severity::Good);
    }

    #[test]
    fn an_address_of_another_machine_is_found() {
        let port = Port {
            setting: "internal_api.port",
            address: "192.0.2.1:0".parse().unwrap(),
            is_udp: false,
        };
        let finding = judge(&port, take(&port)).unwrap();
        assert!(finding.action.unwrap().contains("an address of this machine"));
    }
}
