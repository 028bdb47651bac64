//! A node that is the first one is no reason for alarm.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use tracing_subscriber::filter::LevelFilter;

use crate::common::start_plain;

/// After a new listening address Kademlia waits half a second before it asks
/// its peers; nothing tells of an attempt that is not made.
const LONG_ENOUGH: Duration = Duration::from_millis(1500);

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// On one thread, so that the log of no other test is kept.
#[tokio::test]
async fn a_node_without_peers_starts_without_a_warning() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let node = start_plain(Vec::new()).await;
    tokio::time::sleep(LONG_ENOUGH).await;
    node.stop().await;
    assert_eq!(String::from_utf8_lossy(&log.0.lock().unwrap()), "");
}
