//! A link between two nodes that is slow, loses what is sent, and can be cut.

mod datagrams;
mod streams;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::RngExt;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
    task::JoinHandle,
};

use super::Node;

/// What happens to what is sent over a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quality {
    /// How long everything takes in each direction.
    pub(crate) delay: Duration,
    /// The part of all packets that is lost.
    pub(crate) loss: f64,
}

impl Quality {
    /// Half a round trip of 200 ms each way, and one packet in fifty is lost.
    pub(crate) const POOR: Self = Self {
        delay: Duration::from_millis(100),
        loss: 0.02,
    };
    /// As good as no link at all.
    pub(crate) const PERFECT: Self = Self {
        delay: Duration::ZERO,
        loss: 0.0,
    };

    fn loses(&self) -> bool {
        rand::rng().random_bool(self.loss)
    }
}

/// A proxy before the port of a node, open as long as this lives.
///
/// Who dials its name does not believe the node's own loopback address, and so
/// has no other way to it.
pub(crate) struct Link {
    address: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    quality: Quality,
    is_cut: watch::Sender<bool>,
    /// What has passed in each direction of each TCP connection.
    passed: Mutex<Vec<Arc<Passed>>>,
}

/// Bytes in their order.
type Passed = Mutex<Vec<u8>>;

impl Link {
    /// A link to the TCP port of a node.
    pub(crate) async fn tcp(node: &Node, quality: Quality) -> Self {
        let mut link = Self::to_port(port_of(node, "/tcp/"), quality).await;
        let (_, port) = link.address.rsplit_once(':').unwrap();
        link.address = format!("/dns4/localhost/tcp/{port}/p2p/{}", peer_id(node));
        link
    }

    /// A link to a TCP port of this machine, under an address and a port.
    pub(crate) async fn to_port(target: u16, quality: Quality) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Shared::new(quality);
        Self {
            address: listener.local_addr().unwrap().to_string(),
            accepting: tokio::spawn(streams::pass_all(listener, target, shared.clone())),
            shared,
        }
    }

    /// A link to the QUIC port of a node.
    pub(crate) async fn quic(node: &Node, quality: Quality) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let target = port_of(node, "/quic-v1");
        let shared = Shared::new(quality);
        Self {
            address: format!("/dns4/localhost/udp/{port}/quic-v1/p2p/{}", peer_id(node)),
            accepting: tokio::spawn(datagrams::pass_all(socket, target, shared.clone())),
            shared,
        }
    }

    /// Where its end is reached over this link.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What has passed, a sequence of bytes for each direction of each TCP connection.
    pub(crate) fn passed(&self) -> Vec<Vec<u8>> {
        let passed = self.shared.passed.lock().unwrap();
        passed.iter().map(|bytes| bytes.lock().unwrap().clone()).collect()
    }

    /// Nothing passes any more, and nobody is told.
    pub(crate) fn cut(&self) {
        self.shared.is_cut.send_replace(true);
    }

    /// Everything passes again.
    pub(crate) fn heal(&self) {
        self.shared.is_cut.send_replace(false);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn new(quality: Quality) -> Arc<Self> {
        Arc::new(Self {
            quality,
            is_cut: watch::Sender::new(false),
            passed: Mutex::default(),
        })
    }

    /// Where what passes from now on in one direction is kept.
    fn record(&self) -> Arc<Passed> {
        let record = Arc::<Passed>::default();
        self.passed.lock().unwrap().push(record.clone());
        record
    }

    fn is_cut(&self) -> bool {
        *self.is_cut.borrow()
    }

    /// Waits until the link is whole.
    async fn whole(&self) {
        let mut cut = self.is_cut.subscribe();
        cut.wait_for(|cut| !*cut).await.expect("the sender is here");
    }
}

fn peer_id(node: &Node) -> &str {
    node.started.p2p[0].rsplit('/').next().unwrap()
}

/// The port of the node's address that contains this part.
fn port_of(node: &Node, part: &str) -> u16 {
    let address = node.started.p2p.iter().find(|address| address.contains(part));
    address.unwrap().split('/').nth(4).unwrap().parse().unwrap()
}
