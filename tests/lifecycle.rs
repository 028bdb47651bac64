//! Starting, stopping and starting again.

use reqwest::{Method, StatusCode};
use tempfile::tempdir;

use crate::support::{Node, NodeSetup, SOMEBODY, http::answer, node::dm_node};

#[tokio::test]
async fn a_restart_keeps_everything_the_chain_included() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let hash = node.must_share("still here tomorrow", SOMEBODY).await;
    let before = node.verifies(&hash).await;
    let (_, receipt) = node.get(&format!("/receipts/{hash}")).await;
    let balance_of = format!("/balance/{}", node.address());
    let (_, balance) = answer(node.internal(Method::GET, &balance_of)).await;

    let node = node.restart().await;
    assert_eq!(
        node.object(&hash).await,
        (StatusCode::OK, b"still here tomorrow".to_vec())
    );
    assert_eq!(node.verifies(&hash).await, before);
    assert_eq!(node.get(&format!("/receipts/{hash}")).await.1, receipt);
    assert_eq!(answer(node.internal(Method::GET, &balance_of)).await.1, balance);
    let (status, again) = node.share("still here tomorrow", SOMEBODY).await;
    assert_eq!(
        (status, &again["tx_hash"]),
        (StatusCode::CREATED, &before["tx_hash"])
    );
    node.must_share("and it goes on", SOMEBODY).await;
}

#[tokio::test]
async fn a_stop_finishes_what_was_accepted_and_succeeds() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let shares: Vec<_> = (0..50)
        .map(|number| {
            let body = serde_json::json!({"data": format!("share {number}"), "recipient": SOMEBODY});
            let request = node.request(Method::POST, "/share_data").json(&body);
            tokio::spawn(async move {
                let response = request.send().await.ok()?;
                let accepted = response.status().is_success();
                let answer: serde_json::Value = response.json().await.ok()?;
                accepted.then(|| answer["data_hash"].as_str().unwrap().to_owned())
            })
        })
        .collect();
    // Some are under way by now, some not yet: either is answered or refused.
    tokio::task::yield_now().await;
    let (setup, status, errors) = node.stop().await;
    assert!(status.success(), "{status}: {errors}");
    let node = setup.start().await;
    for share in shares {
        if let Some(hash) = share.await.unwrap() {
            assert_eq!(node.object(&hash).await.0, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn a_start_that_fails_says_why_in_one_line_and_leaves_nothing() {
    let home = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data_dir = home.path().join("node");
    let output = dm_node()
        .args([
            "dev",
            "--external-port",
            "0",
            "--p2p-port",
            "0",
            "--internal-port",
            &port,
            "--data-dir",
        ])
        .arg(&data_dir)
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(lines.len(), 1, "{errors}");
    assert!(lines[0].contains(&port), "{errors}");
    assert!(
        !data_dir.exists(),
        "{:?}",
        std::fs::read_dir(&data_dir).map(|dir| dir.count())
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_from_a_damaged_file_and_nothing_is_touched() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    node.must_share("behind a password", SOMEBODY).await;
    let (setup, _, _) = node.stop().await;
    let keys = home.path().join("keys.json");
    let before = std::fs::read(&keys).unwrap();

    let wrong = setup.clone().env("KEY_MASTER_PASSWORD", "not this one");
    let failure = wrong.try_start().await.err().unwrap();
    assert!(failure.contains("password"), "{failure}");
    assert_eq!(std::fs::read(&keys).unwrap(), before);

    let mut damaged = before.clone();
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    std::fs::write(&keys, &damaged).unwrap();
    let failure = setup.clone().try_start().await.err().unwrap();
    assert!(failure.contains("damaged"), "{failure}");
    assert_eq!(std::fs::read(&keys).unwrap(), damaged);

    std::fs::write(&keys, &before).unwrap();
    setup.start().await;
}

#[tokio::test]
async fn a_second_node_on_the_same_directory_does_not_start() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let failure = NodeSetup::new(home.path()).try_start().await.err().unwrap();
    assert!(failure.contains("error:"), "{failure}");
    node.must_share("the first goes on", SOMEBODY).await;
}

#[tokio::test]
async fn no_key_file_can_be_read_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempdir().unwrap();
    let _node = Node::start(&home).await;
    for name in [
        "keys.json",
        "keystore.json",
        "catalog.sqlite",
        "dev-password",
        "dev-api-key",
    ] {
        let mode = std::fs::metadata(home.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[tokio::test]
async fn health_tells_the_state_of_the_parts() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let (status, health) = answer(node.internal(Method::GET, "/health")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(health["status"], "healthy", "{health}");
    assert_eq!(health["components"]["blockchain"], "connected");
    assert_eq!(health["components"]["p2p_network"], "running");
    assert_eq!(health["components"]["encryption"], "initialized");
    let external = reqwest::get(format!("{}/health", node.started.external_api))
        .await
        .unwrap();
    let health: serde_json::Value = external.json().await.unwrap();
    assert_eq!(health["p2p"]["running"], true, "{health}");
}

#[tokio::test]
async fn a_directory_of_a_newer_version_is_refused_with_one_sentence_and_left_as_it_is() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let (setup, _, _) = node.stop().await;
    let format = home.path().join("format");
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "1\n");
    std::fs::write(&format, "2\n").unwrap();
    let catalog = std::fs::read(home.path().join("catalog.sqlite")).unwrap();

    let failure = setup.clone().try_start().await.err().unwrap();
    let lines: Vec<&str> = failure
        .lines()
        .filter(|line| line.starts_with("error:"))
        .collect();
    assert_eq!(lines.len(), 1, "{failure}");
    assert!(
        lines[0].contains("was written by a newer version of dm-node (format 2"),
        "{failure}"
    );
    let rotate = dm_node()
        .args(["key", "rotate", "--data-dir"])
        .arg(home.path())
        .output();
    let errors = String::from_utf8_lossy(&rotate.await.unwrap().stderr).into_owned();
    assert!(errors.contains("newer version"), "{errors}");
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "2\n");
    assert_eq!(
        std::fs::read(home.path().join("catalog.sqlite")).unwrap(),
        catalog
    );

    // Back at its own version the node goes on.
    std::fs::write(&format, "1\n").unwrap();
    setup.start().await;
}

#[tokio::test]
async fn a_node_whose_catalog_is_missing_does_not_start_over_its_objects() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let hash = node.must_share("known to the catalog alone", SOMEBODY).await;
    let (setup, _, _) = node.stop().await;
    let (catalog, aside) = (home.path().join("catalog.sqlite"), home.path().join("aside"));
    std::fs::rename(&catalog, &aside).unwrap();

    let failure = setup.clone().try_start().await.err().unwrap();
    let lines: Vec<&str> = failure
        .lines()
        .filter(|line| line.starts_with("error:"))
        .collect();
    assert_eq!(lines.len(), 1, "{failure}");
    let objects = home.path().join("objects");
    for told in [
        catalog.to_str().unwrap(),
        objects.to_str().unwrap(),
        "restore a backup",
    ] {
        assert!(lines[0].contains(told), "{told}: {failure}");
    }
    assert!(!catalog.exists(), "no empty one is made");

    // Once it is back, everything is.
    std::fs::rename(&aside, &catalog).unwrap();
    let node = setup.start().await;
    assert_eq!(node.object(&hash).await.0, StatusCode::OK);

    // Who wants to begin with nothing takes the objects away, too.
    let address = node.address().to_owned();
    let (setup, _, _) = node.stop().await;
    std::fs::remove_file(&catalog).unwrap();
    std::fs::rename(&objects, home.path().join("objects-before")).unwrap();
    std::fs::remove_file(home.path().join("dev-api-key")).unwrap();
    let node = setup.start().await;
    assert_eq!(node.address(), address);
    assert_eq!(node.object(&hash).await.0, StatusCode::NOT_FOUND);
    node.must_share("the first one again", SOMEBODY).await;
}
