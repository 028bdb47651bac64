use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::Shared;

/// Bytes of a packet.
const PACKET: usize = 1460;
/// Packets under way in one direction of a connection: 6 MiB.
const WINDOW: usize = 4096;
/// How long the sender of a lost packet waits before it sends it again, the
/// round trip that this takes excepted: the least that Linux waits.
const RESEND_AFTER: Duration = Duration::from_millis(200);

/// Passes connections on to a port. A lost packet is sent again, as TCP does
/// it: all that comes behind it arrives later.
pub(super) async fn pass_all(listener: TcpListener, target: u16, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
            continue;
        };
        let (client_reads, client_writes) = client.into_split();
        let (server_reads, server_writes) = server.into_split();
        for (from, to) in [(client_reads, server_writes), (server_reads, client_writes)] {
            let (sender, receiver) = mpsc::channel(WINDOW);
            tokio::spawn(send(from, sender, shared.clone()));
            tokio::spawn(deliver(receiver, to, shared.clone()));
        }
    }
}

/// A packet, and when it arrives.
type Packet = (Instant, Vec<u8>);

async fn send(mut from: OwnedReadHalf, packets: mpsc::Sender<Packet>, shared: Arc<Shared>) {
    let quality = shared.quality;
    let mut last = Instant::now();
    let mut packet = vec![0; PACKET];
    while let Ok(read @ 1..) = from.read(&mut packet).await {
        let mut due = Instant::now() + quality.delay;
        if quality.loses() {
            due += RESEND_AFTER + 2 * quality.delay;
        }
        last = last.max(due);
        if packets.send((last, packet[..read].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn deliver(mut packets: mpsc::Receiver<Packet>, mut to: OwnedWriteHalf, shared: Arc<Shared>) {
    let record = shared.record();
    while let Some((due, packet)) = packets.recv().await {
        sleep_until(due).await;
        shared.whole().await;
        record.lock().unwrap().extend(&packet);
        if to.write_all(&packet).await.is_err() {
            return;
        }
    }
}
