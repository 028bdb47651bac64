//! A node that is the first one is no reason for alarm.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::start_plain;
use tracing_subscriber::filter::LevelFilter;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_peers_starts_without_a_warning() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(move || writer.clone())
        .init();
    let node = start_plain(Vec::new()).await;
    tokio::time::sleep(LONG_ENOUGH).await;
    node.stop().await;
    assert_eq!(String::from_utf8_lossy(&log.0.lock().unwrap()), "");
}
