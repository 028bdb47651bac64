//! A disk that is full, or fails, for a moment: afterwards everything works
//! without a restart, and what was answered is true.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{
    Node, NodeSetup, SOMEBODY,
    disk::{FaultyDisk, SmallDisk, skipped},
    eventually,
    http::{Answer, answer},
};

const MOUNTS: &str = "REQUIRE_MOUNTS";
const FAULTS: &str = "REQUIRE_FAULTY_DISK";

async fn erase(node: &Node, hash: &str) -> Answer {
    answer(node.request(Method::DELETE, &format!("/data/{hash}"))).await
}

/// Waits until the part of the node has this status; what `/health` says of it.
async fn part_is(node: &Node, part: &str, status: &str) -> Value {
    eventually(&format!("{part} is {status}"), || async {
        let (_, health) = answer(node.internal(Method::GET, "/health")).await;
        let found = health["parts"][part].clone();
        (found["status"] == status).then_some(found)
    })
    .await
}

#[tokio::test]
async fn everything_works_again_when_a_full_disk_has_room() {
    let disk = match SmallDisk::mount(300) {
        Ok(disk) => disk,
        Err(reason) => return skipped(MOUNTS, &reason),
    };
    let node = NodeSetup::new(&disk.path().join("node")).start().await;
    let kept = node.must_share("kept", SOMEBODY).await;
    let erased = node.must_share(&"erased".repeat(100_000), SOMEBODY).await;

    disk.fill();
    for round in 0..3 {
        let (status, body) = node.share(&format!("refused {round}"), SOMEBODY).await;
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{body}");
    }
    let store = part_is(&node, "object_store", "unhealthy").await;
    assert!(
        store["reason"].is_string() && store["action"].is_string(),
        "{store}"
    );
    assert_eq!(node.object(&kept).await.1, b"kept", "what is there is read on");
    let (status, body) = erase(&node, &erased).await;
    assert!(status.is_success(), "erasing needs no room: {status} {body}");
    assert_eq!(node.object(&erased).await.0, StatusCode::NOT_FOUND);

    disk.make_room();
    for part in ["catalog", "object_store"] {
        part_is(&node, part, "healthy").await;
    }
    let later = node.must_share("later", SOMEBODY).await;
    let (status, body) = node.put(vec![9; 3_000_000], SOMEBODY).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");

    let node = node.kill().await.start().await;
    assert_eq!(node.object(&kept).await.1, b"kept");
    assert_eq!(node.object(&later).await.1, b"later");
    assert_eq!(node.object(&erased).await.0, StatusCode::NOT_FOUND);
    let (status, _) = node.share("refused 0", SOMEBODY).await;
    assert!(status.is_success());
    node.kill().await;
}

#[tokio::test]
async fn a_disk_too_small_to_begin_says_how_much_is_needed() {
    let disk = match SmallDisk::mount(40) {
        Ok(disk) => disk,
        Err(reason) => return skipped(MOUNTS, &reason),
    };
    let setup = NodeSetup::new(&disk.path().join("node"));
    let failure = setup.try_start().await.err().expect("it is too small");
    assert!(failure.contains("needs 160 MiB"), "{failure}");
}

/// What a client did and was told.
#[derive(Default)]
struct Told {
    shared: Vec<(String, String)>,
    erased: Vec<String>,
}

/// Shares and erases; only what was acknowledged is told.
async fn load(node: &Node, round: &str) -> Told {
    let clients = (0..4).map(|client| async move {
        let mut told = Told::default();
        for count in 0..6 {
            // Small ones are in the engine, large ones in files.
            let text = format!("{round} {client} {count} ").repeat(1 + 40_000 * (count % 2));
            let (status, body) = node.share(&text, SOMEBODY).await;
            assert!(
                status.is_success()
                    || status == StatusCode::INSUFFICIENT_STORAGE
                    || status == StatusCode::SERVICE_UNAVAILABLE,
                "{round}: {status} {body}"
            );
            if !status.is_success() {
                continue;
            }
            let hash = body["data_hash"].as_str().unwrap().to_owned();
            if count % 3 == 2 && erase(node, &hash).await.0.is_success() {
                told.erased.push(hash);
            } else if count % 3 != 2 {
                told.shared.push((text, hash));
            }
        }
        told
    });
    let mut all = Told::default();
    for told in futures::future::join_all(clients).await {
        all.shared.extend(told.shared);
        all.erased.extend(told.erased);
    }
    all
}

/// Load while the disk fails in this way and works again, by turns; then the node is killed.
async fn holds_what_it_told(way: &str) {
    let disk = match FaultyDisk::new() {
        Ok(disk) => disk,
        Err(reason) => return skipped(FAULTS, &reason),
    };
    let node = disk.setup().start().await;
    let mut all = Told::default();
    for round in 0..3 {
        let name = format!("{way} {round}");
        let (told, ()) = tokio::join!(load(&node, &name), async {
            for pause in [30, 200] {
                disk.fails(way);
                tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
                disk.works();
                tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
            }
        });
        all.shared.extend(told.shared);
        all.erased.extend(told.erased);
    }
    let last = eventually("the node takes shares again", || async {
        let (status, body) = node.share("at last", SOMEBODY).await;
        status.is_success().then_some(body)
    })
    .await;
    let hash = last["data_hash"].as_str().unwrap().to_owned();
    all.shared.push(("at last".to_owned(), hash));
    for part in ["catalog", "object_store"] {
        part_is(&node, part, "healthy").await;
    }

    let node = node.kill().await.start().await;
    for (text, hash) in &all.shared {
        let (status, data) = node.object(hash).await;
        assert_eq!(status, StatusCode::OK, "{hash}");
        assert!(data == text.as_bytes(), "{hash}");
    }
    for hash in &all.erased {
        assert_eq!(node.object(hash).await.0, StatusCode::NOT_FOUND, "{hash}");
    }
    node.kill().await;
}

#[tokio::test]
async fn what_was_acknowledged_while_fsync_failed_is_there_after_kill_9() {
    holds_what_it_told("fsync").await;
}

#[tokio::test]
async fn what_was_acknowledged_while_the_disk_was_full_is_there_after_kill_9() {
    holds_what_it_told("full").await;
}

#[tokio::test]
async fn what_was_acknowledged_while_the_disk_was_read_only_is_there_after_kill_9() {
    holds_what_it_told("readonly").await;
}
