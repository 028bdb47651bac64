//! IPv6 beside IPv4, over TCP and QUIC.

use std::net::IpAddr;

use dm_core::ports::NetworkStatus;
use dm_testing::objects::SampleObject;

use crate::common::{Node, start_changed};

/// A node on these interfaces.
async fn node(hosts: &[&str], initial_peers: Vec<String>) -> Node {
    let mut hosts = hosts.iter().map(|host| host.parse::<IpAddr>().unwrap());
    start_changed(initial_peers, |network| {
        network.host = hosts.next().unwrap();
        network.more_hosts = hosts.collect();
    })
    .await
}

/// The listening address with this in it.
fn address(node: &Node, part: &str) -> String {
    let addresses = node.p2p.listen_addresses();
    addresses
        .into_iter()
        .find(|address| address.contains(part))
        .unwrap()
}

async fn reads(reader: &Node, object: &SampleObject) {
    reader.has_active_peers(1).await;
    reader.reads(object).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_read_over_ipv6_with_tcp_and_with_quic() {
    let holder = node(&["::1"], Vec::new()).await;
    let object = SampleObject::new(1, 7, 300_000);
    object.store_in(&*holder.store).await.unwrap();
    let tcp = address(&holder, "/tcp/");
    let port = tcp.split('/').nth(4).unwrap();
    let forms = [tcp.clone(), address(&holder, "/quic-v1"), format!("[::1]:{port}")];
    for form in forms {
        assert!(form.contains("::1"), "{form}");
        let reader = node(&["::1"], vec![form]).await;
        reads(&reader, &object).await;
        reader.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_listens_on_ipv4_and_ipv6_at_once() {
    let holder = node(&["127.0.0.1", "::1"], Vec::new()).await;
    let object = SampleObject::new(1, 7, 300_000);
    object.store_in(&*holder.store).await.unwrap();
    for (host, protocol) in [
        ("127.0.0.1", "/ip4/127.0.0.1/tcp/"),
        ("127.0.0.1", "/ip4/127.0.0.1/udp/"),
        ("::1", "/ip6/::1/tcp/"),
        ("::1", "/ip6/::1/udp/"),
    ] {
        let reader = node(&[host], vec![address(&holder, protocol)]).await;
        reads(&reader, &object).await;
        reader.stop().await;
    }
}
