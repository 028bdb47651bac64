use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use tokio::{net::UdpSocket, time::sleep};

use super::Shared;

/// Bytes of the largest datagram.
const LARGEST: usize = 64 * 1024;

/// Passes datagrams on to a port, and what comes back to who sent them.
pub(super) async fn pass_all(socket: UdpSocket, target: u16, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut datagram = vec![0; LARGEST];
    loop {
        // An earlier datagram may have been refused; that is no end.
        let Ok((read, client)) = socket.recv_from(&mut datagram).await else {
            continue;
        };
        let way = match ways.get(&client) {
            Some(way) => way.clone(),
            None => {
                let way = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                way.connect(("127.0.0.1", target)).await.unwrap();
                tokio::spawn(pass_back(way.clone(), socket.clone(), client, shared.clone()));
                ways.insert(client, way.clone());
                way
            }
        };
        let datagram = datagram[..read].to_vec();
        pass(&shared, async move { way.send(&datagram).await });
    }
}

async fn pass_back(way: Arc<UdpSocket>, socket: Arc<UdpSocket>, client: SocketAddr, shared: Arc<Shared>) {
    let mut datagram = vec![0; LARGEST];
    loop {
        let Ok(read) = way.recv(&mut datagram).await else {
            return;
        };
        let (socket, datagram) = (socket.clone(), datagram[..read].to_vec());
        pass(&shared, async move { socket.send_to(&datagram, client).await });
    }
}

/// Sends a datagram after its delay, unless it is lost.
fn pass(shared: &Shared, send: impl Future<Output = std::io::Result<usize>> + Send + 'static) {
    if shared.is_cut() || shared.quality.loses() {
        return;
    }
    let delay = shared.quality.delay;
    tokio::spawn(async move {
        sleep(delay).await;
        // What cannot be delivered is lost.
        let _ = send.await;
    });
}
