//! First starts: several at once on one empty data directory, and those that fail.

use std::{
    collections::BTreeMap,
    net::{TcpListener, UdpSocket},
    path::Path,
};

use reqwest::StatusCode;
use tempfile::tempdir;
use tokio::process::Command;

use crate::support::{Node, NodeSetup, SOMEBODY, node::dm_node};

/// Rounds of starts that race; each of them takes seconds.
const ROUNDS: usize = 8;
/// Rounds of `init`, which is quicker.
const INIT_ROUNDS: usize = 10;

#[tokio::test]
async fn of_two_first_starts_on_one_directory_one_runs_and_the_other_touches_nothing() {
    for round in 0..ROUNDS {
        let home = tempdir().unwrap();
        let dir = home.path().join("node");
        let started = tokio::join!(NodeSetup::new(&dir).try_start(), NodeSetup::new(&dir).try_start());
        let (node, refusal) = match started {
            (Ok(node), Err(refusal)) | (Err(refusal), Ok(node)) => (node, refusal),
            (Ok(_), Ok(_)) => panic!("two nodes run on one directory in round {round}"),
            (Err(one), Err(other)) => panic!("no node runs in round {round}:\n{one}\n{other}"),
        };
        assert!(refusal.contains("in use"), "{refusal}");
        assert_goes_on(node).await;
    }
}

/// What the node has accepted is there after a restart.
async fn assert_goes_on(node: Node) {
    let hash = node.must_share("accepted", SOMEBODY).await;
    let node = node.restart().await;
    assert_eq!(node.object(&hash).await, (StatusCode::OK, b"accepted".to_vec()));
}

#[tokio::test]
async fn of_two_inits_on_one_directory_one_makes_the_node() {
    for round in 0..INIT_ROUNDS {
        let home = tempdir().unwrap();
        let dir = home.path().join("node");
        let (mut one, mut other) = (init(&dir), init(&dir));
        let (one, other) = tokio::join!(one.output(), other.output());
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_ne!(
            one.status.success(),
            other.status.success(),
            "round {round}: {one:?} {other:?}"
        );
        for file in ["keys.json", "keystore.json", "catalog.sqlite", "dm-node.toml"] {
            assert!(dir.join(file).is_file(), "{file} is missing in round {round}");
        }
        let names = std::fs::read_dir(home.path()).unwrap();
        assert_eq!(names.count(), 1, "round {round}");
    }
}

fn init(dir: &Path) -> Command {
    let mut command = dm_node();
    command
        .args(["init", "--data-dir"])
        .arg(dir)
        .env("KEY_MASTER_PASSWORD", "correct horse battery staple");
    command
}

#[tokio::test]
async fn a_first_start_that_fails_takes_nothing_of_a_directory_that_was_there() {
    let home = tempdir().unwrap();
    std::fs::write(home.path().join("mine"), "kept").unwrap();
    // The catalog cannot be made where a folder has its name.
    std::fs::create_dir(home.path().join("catalog.sqlite")).unwrap();
    let failure = NodeSetup::new(home.path()).try_start().await.err().unwrap();
    assert!(failure.contains("error:"), "{failure}");
    assert_eq!(std::fs::read(home.path().join("mine")).unwrap(), b"kept");

    let dir = home.path().join("new");
    let missing = home.path().join("no/such/folder/catalog.sqlite");
    let setup = NodeSetup::new(&dir).env("SQLITE_DB_PATH", missing.to_str().unwrap());
    let failure = setup.try_start().await.err().unwrap();
    assert!(failure.contains("error:"), "{failure}");
    assert!(!dir.exists(), "{failure}");
}

#[tokio::test]
async fn a_taken_port_of_the_peer_to_peer_network_is_named_with_its_protocol() {
    let home = tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = BTreeMap::from([
        ("TCP", tcp.local_addr().unwrap().port()),
        ("UDP", udp.local_addr().unwrap().port()),
    ]);
    for (protocol, port) in taken {
        let dir = home.path().join(protocol);
        let mut command = dm_node();
        let started = command
            .args([
                "dev",
                "--dashboard-port",
                "0",
                "--internal-port",
                "0",
                "--external-port",
                "0",
                "--p2p-port",
            ])
            .arg(port.to_string())
            .arg("--data-dir")
            .arg(&dir)
            .output()
            .await
            .unwrap();
        assert!(!started.status.success());
        let errors = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(errors.contains(&format!("{protocol} port {port}")), "{errors}");
        assert!(!dir.exists(), "{errors}");
    }
}
