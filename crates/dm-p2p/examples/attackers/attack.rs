//! The attackers. Each goes from identity to identity; a quarter of them each
//! take connections, streams, handshakes and places of one identity.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    identity::Keypair,
    multiaddr::Protocol,
    swarm::{
        SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};

use crate::{
    load,
    script::{self, Behaviour, Request, send},
};

const ATTACKERS: usize = 64;
const IDENTITIES: usize = 1000;
/// How long an attacker stays who he is, where he is not hung up on.
const STAY: Duration = Duration::from_secs(20);
/// Before he comes again as another.
const PAUSE: Duration = Duration::from_millis(100);

/// What the attackers know.
struct Plan {
    node: PeerId,
    address: Multiaddr,
    identities: Vec<Keypair>,
    next: AtomicUsize,
}

impl Plan {
    fn new(node: &str) -> Self {
        let mut address: Multiaddr = node.parse().unwrap();
        let Some(Protocol::P2p(node)) = address.pop() else {
            panic!("the address has a peer id");
        };
        Self {
            node,
            address,
            identities: (0..IDENTITIES).map(|_| Keypair::generate_ed25519()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    fn next_swarm(&self) -> Swarm<Behaviour> {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % IDENTITIES;
        script::swarm_of(self.identities[next].clone())
    }

    fn dial(&self, swarm: &mut Swarm<Behaviour>) {
        let opts = DialOpts::peer_id(self.node)
            .condition(PeerCondition::Always)
            .addresses(vec![self.address.clone()]);
        swarm.dial(opts.build()).unwrap();
    }
}

/// Attacks until the input ends.
pub(crate) async fn run(node: &str) {
    let plan = Arc::new(Plan::new(node));
    let mut attackers = JoinSet::new();
    for number in 0..ATTACKERS {
        attackers.spawn(attack(plan.clone(), number % 4));
    }
    let mut input = load::input();
    while input.recv().await.is_some() {}
}

async fn attack(plan: Arc<Plan>, kind: usize) {
    loop {
        let attempt = async {
            match kind {
                0 => connect(&plan, 1).await,
                1 => connect(&plan, 4).await,
                2 => open_streams(&plan).await,
                _ => say_nothing(&plan).await,
            }
        };
        let _ = tokio::time::timeout(STAY, attempt).await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Has so many connections of one identity, and does nothing with them until
/// the node has closed one.
async fn connect(plan: &Plan, connections: usize) {
    let mut swarm = plan.next_swarm();
    for _ in 0..connections {
        plan.dial(&mut swarm);
    }
    until_closed(&mut swarm).await;
}

async fn until_closed(swarm: &mut Swarm<Behaviour>) {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => return,
            _ => {}
        }
    }
}

/// Opens streams without end, asks something on each and keeps it open.
async fn open_streams(plan: &Plan) {
    let mut swarm = plan.next_swarm();
    let mut control = swarm.behaviour().objects.new_control();
    plan.dial(&mut swarm);
    let node = plan.node;
    let opening = async move {
        let mut open = Vec::new();
        loop {
            match control
                .open_stream(node, StreamProtocol::new("/datamgmt/objects/1"))
                .await
            {
                Ok(mut stream) => {
                    send(&mut stream, &Request::Peers).await;
                    open.push(stream);
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    tokio::select! {
        () = until_closed(&mut swarm) => {}
        () = opening => {}
    }
}

/// Opens a connection and says nothing.
async fn say_nothing(plan: &Plan) {
    let mut parts = plan.address.iter();
    let (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) = (parts.next(), parts.next()) else {
        panic!("an address with an IP and a port");
    };
    if let Ok(mut socket) = TcpStream::connect((ip, port)).await {
        let _ = socket.read(&mut [0; 1]).await;
        // The node has said which protocols it knows, and now it waits.
        let _ = socket.read(&mut [0; 1024]).await;
        let _ = socket.read(&mut [0; 1024]).await;
    }
}
