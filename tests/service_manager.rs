//! The node as a service of systemd, and what its package takes from the command line.

use std::{fs, path::Path};

use tempfile::tempdir;
use tokio::net::UnixDatagram;

use crate::support::{NodeSetup, PATIENCE, node::dm_node};

/// The next thing that the node tells its service manager.
async fn told(socket: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut message));
    let length = length.await.expect("the node tells something").unwrap();
    String::from_utf8_lossy(&message[..length]).trim().to_owned()
}

#[tokio::test]
async fn systemd_is_told_when_the_node_runs_that_it_lives_and_when_it_stops() {
    let home = tempdir().unwrap();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let node = NodeSetup::new(&home.path().join("node"))
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "400000")
        .start()
        .await;
    assert_eq!(told(&socket).await, "READY=1");
    for _ in 0..3 {
        assert_eq!(told(&socket).await, "WATCHDOG=1");
    }
    let (_, status, errors) = node.stop().await;
    assert!(status.success(), "{errors}");
    loop {
        match told(&socket).await.as_str() {
            "WATCHDOG=1" => {}
            other => break assert_eq!(other, "STOPPING=1"),
        }
    }
}

#[tokio::test]
async fn the_command_line_writes_its_completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let output = dm_node().args(["completions", shell]).output().await.unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && script.contains("api-key"),
            "{shell}: {script}"
        );
    }
    let dir = tempdir().unwrap();
    let pages = dir.path().join("man");
    let output = dm_node().arg("man").arg(&pages).output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("dm-node.1").contains(".TH dm-node 1"));
    assert!(page("dm-node-share.1").contains("media\\-type"));
    assert!(
        !page("dm-node-status.1").contains("DM_API_KEY="),
        "no value from the environment"
    );

    let refused = dm_node()
        .arg("man")
        .arg(Path::new("/dev/null/man"))
        .output()
        .await
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot write into /dev/null/man"));
}
