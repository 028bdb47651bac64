//! Uploads that resume: through broken connections, `kill -9` and restarts, by the HTTP
//! interface and by the command line.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    Node, NodeSetup, SOMEBODY, bytes, data_hash, eventually, node::dm_node, process::kill_9,
};

/// A word that no sealed data has.
const WORD: &[u8] = b"zebrastreifen2026-unverschluesselt";

fn tus(node: &Node, method: Method, route: &str) -> RequestBuilder {
    node.request(method, route).header("Tus-Resumable", "1.0.0")
}

/// Another address that has no node.
const SOMEBODY_ELSE: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

async fn begun(node: &Node, length: usize) -> Response {
    begun_for(node, length, SOMEBODY).await
}

async fn begun_for(node: &Node, length: usize, recipients: &str) -> Response {
    let said = format!(
        "recipients {},name {}",
        STANDARD.encode(recipients),
        STANDARD.encode(WORD)
    );
    let request = tus(node, Method::POST, "/uploads")
        .header("Upload-Length", length)
        .header("Upload-Metadata", said);
    request.send().await.unwrap()
}

/// Begins an upload; its route.
pub(crate) async fn begin(node: &Node, length: usize) -> String {
    begin_for(node, length, SOMEBODY).await
}

async fn begin_for(node: &Node, length: usize, recipients: &str) -> String {
    let response = begun_for(node, length, recipients).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    format!("/{}", response.headers()["location"].to_str().unwrap())
}

/// Sends bytes from this place on; `None` where the connection breaks.
pub(crate) async fn send(node: &Node, route: &str, place: usize, bytes: Vec<u8>) -> Option<StatusCode> {
    let request = tus(node, Method::PATCH, route)
        .header("Content-Type", "application/offset+octet-stream")
        .header("Upload-Offset", place)
        .body(bytes);
    Some(request.send().await.ok()?.status())
}

pub(crate) async fn place(node: &Node, route: &str) -> Result<usize, StatusCode> {
    let response = tus(node, Method::HEAD, route).send().await.unwrap();
    match response.headers().get("upload-offset") {
        Some(place) => Ok(place.to_str().unwrap().parse().unwrap()),
        None => Err(response.status()),
    }
}

/// What came of an upload of which all bytes are there.
async fn shared(node: &Node, route: &str) -> Value {
    eventually("the share is made", || async {
        let (status, answer) = node.get(route).await;
        assert!(status.is_success(), "{status} {answer}");
        let is_made = |share: &Value| share["success"] == true;
        let all_are_made = answer["shares"]
            .as_array()
            .is_some_and(|shares| shares.iter().all(is_made));
        (is_made(&answer) || all_are_made).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn an_upload_goes_on_after_kill_nine_of_the_node() {
    let home = tempdir().unwrap();
    let mut node = Node::start(&home).await;
    let data = bytes(60 << 20, 3);
    let route = begin(&node, data.len()).await;
    let mut acknowledged = 0;
    // First in the middle of one request, then after answers, at last right after the last byte.
    for (end, in_the_middle) in [
        (data.len(), true),
        (20 << 20, false),
        ((20 << 20) + 77, false),
        (data.len(), false),
    ] {
        let from = place(&node, &route).await.unwrap();
        assert!(from >= acknowledged, "what was acknowledged is not asked again");
        let sending = send(&node, &route, from, data[from..end.max(from)].to_vec());
        if in_the_middle {
            let killing = async {
                eventually("some of it is durable", || async {
                    (place(&node, &route).await.unwrap() > from).then_some(())
                })
                .await;
                kill_9(node.id()).await;
            };
            tokio::join!(sending, killing);
        } else {
            assert_eq!(sending.await, Some(StatusCode::NO_CONTENT));
            acknowledged = end.max(from);
        }
        node = node.kill().await.start().await;
    }
    let answer = shared(&node, &route).await;
    assert_eq!(answer["data_hash"], data_hash(&data));
    assert!(node.object(&data_hash(&data)).await == (StatusCode::OK, data));
    let (_, history) = node.get("/compliance_history?filters=data_share").await;
    assert_eq!(history["count"], 1, "it is shared once: {history}");
}

#[tokio::test]
async fn the_share_of_a_complete_upload_is_made_once_through_kill_nine_at_every_moment() {
    are_made_once_through_kills(&[SOMEBODY]).await;
}

#[tokio::test]
async fn the_shares_of_an_upload_for_several_are_made_once_through_kill_nine_at_every_moment() {
    are_made_once_through_kills(&[SOMEBODY, SOMEBODY_ELSE]).await;
}

async fn are_made_once_through_kills(recipients: &[&str]) {
    let home = tempdir().unwrap();
    let mut node = Node::start(&home).await;
    for moment in 0..6 {
        let data = bytes(700_000 + moment, moment as u64);
        let route = begin_for(&node, data.len(), &recipients.join(",")).await;
        let sending = send(&node, &route, 0, data.clone());
        let killing = async {
            tokio::time::sleep(std::time::Duration::from_millis(15 * moment as u64)).await;
            kill_9(node.id()).await;
        };
        tokio::join!(sending, killing);
        node = node.kill().await.start().await;
        let from = place(&node, &route).await.unwrap();
        if from < data.len() {
            assert_eq!(
                send(&node, &route, from, data[from..].to_vec()).await,
                Some(StatusCode::NO_CONTENT)
            );
        }
        let answer = shared(&node, &route).await;
        let shares = answer["shares"].as_array().cloned();
        for (share, recipient) in shares.unwrap_or_else(|| vec![answer]).iter().zip(recipients) {
            assert_eq!(share["data_hash"], data_hash(&data));
            assert_eq!(share["recipient"], *recipient);
        }
        assert!(node.object(&data_hash(&data)).await == (StatusCode::OK, data));
        let (_, history) = node.get("/compliance_history?filters=data_share").await;
        assert_eq!(history["count"], (moment + 1) * recipients.len(), "{history}");
    }
}

/// Files under a folder that have the word in them.
fn files_that_tell(folder: &Path) -> Vec<String> {
    let mut telling = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            telling.extend(files_that_tell(&path));
        } else if fs::read(&path)
            .unwrap_or_default()
            .windows(WORD.len())
            .any(|part| part == WORD)
        {
            telling.push(path.display().to_string());
        }
    }
    telling
}

#[tokio::test]
async fn no_plaintext_of_an_unfinished_upload_is_on_the_disk() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let data = WORD.repeat(30_000);
    let route = begin(&node, data.len()).await;
    // Whole chunks, and a rest that fills none.
    for (from, to) in [(0, 600_000), (600_000, 600_100), (600_100, 900_000)] {
        let sent = send(&node, &route, from, data[from..to].to_vec()).await;
        assert_eq!(sent, Some(StatusCode::NO_CONTENT));
        assert_eq!(
            files_that_tell(home.path()),
            Vec::<String>::new(),
            "its data and its name are sealed"
        );
    }
    let node = node.kill().await.start().await;
    assert_eq!(files_that_tell(home.path()), Vec::<String>::new());
    assert_eq!(
        send(&node, &route, 900_000, data[900_000..].to_vec()).await,
        Some(StatusCode::NO_CONTENT)
    );
    assert_eq!(files_that_tell(home.path()), Vec::<String>::new());
    assert_eq!(shared(&node, &route).await["data_hash"], data_hash(&data));
}

#[tokio::test]
async fn uploads_are_bounded_in_number_bytes_and_time() {
    let home = tempdir().unwrap();
    let setup = NodeSetup::new(home.path())
        .env("DM_UPLOADS__MAX_UNFINISHED_PER_KEY", "3")
        .env("DM_UPLOADS__MAX_UNFINISHED_BYTES_PER_KEY", "5000000")
        .env("DM_UPLOADS__EXPIRE_AFTER_SECS", "60")
        .env("DM_NETWORK__RETRY_INTERVAL_SECS", "1");
    let node = setup.start().await;
    assert_eq!(
        begun(&node, 5_000_001).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let route = begin(&node, 4_000_000).await;
    send(&node, &route, 0, bytes(3_000_000, 1)).await.unwrap();
    assert_eq!(
        begun(&node, 1_000_001).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    begin(&node, 10).await;
    begin(&node, 10).await;
    assert_eq!(begun(&node, 10).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let deleted = tus(&node, Method::DELETE, &route).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(place(&node, &route).await, Err(StatusCode::NOT_FOUND));
    let uploads = home.path().join("objects/uploads");
    assert_eq!(
        fs::read_dir(&uploads).unwrap().count(),
        0,
        "what had come is gone"
    );

    // The end of the data ends its upload, too.
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let said = format!(
        "recipients {},expires_at {}",
        STANDARD.encode(SOMEBODY),
        STANDARD.encode(soon.to_string())
    );
    let request = tus(&node, Method::POST, "/uploads")
        .header("Upload-Length", 1_000_000)
        .header("Upload-Metadata", said);
    let response = request.send().await.unwrap();
    let route = format!("/{}", response.headers()["location"].to_str().unwrap());
    send(&node, &route, 0, bytes(900_000, 1)).await.unwrap();
    assert_eq!(fs::read_dir(&uploads).unwrap().count(), 1);
    eventually("the upload is collected", || async {
        (fs::read_dir(&uploads).unwrap().count() == 0).then_some(())
    })
    .await;
    let ended = place(&node, &route).await.unwrap_err();
    assert!(
        [StatusCode::GONE, StatusCode::NOT_FOUND].contains(&ended),
        "{ended}"
    );
}

/// Leads to a node, and breaks each connection over which so many bytes have gone, as long
/// as it is told to.
struct BreakingLine {
    url: String,
    /// Bytes that one connection lives for.
    lives_for: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
}

impl BreakingLine {
    async fn to(node: &Node, lives_for: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = node.started.external_api.trim_start_matches("http://").to_owned();
        let (lives_for, broken) = (Arc::new(AtomicU64::new(lives_for)), Arc::new(AtomicU64::new(0)));
        let (limit, count) = (lives_for.clone(), broken.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let node = TcpStream::connect(&target).await.unwrap();
                let (limit, count) = (limit.clone(), count.clone());
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_node, to_node) = node.into_split();
                    let passed = AtomicU64::new(0);
                    let both = async {
                        tokio::select! {
                            () = pass(from_client, to_node, &passed, &limit) => {}
                            () = pass(from_node, to_client, &passed, &limit) => {}
                        }
                    };
                    both.await;
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self {
            url,
            lives_for,
            broken,
        }
    }

    fn heal(&self) {
        self.lives_for.store(u64::MAX, Ordering::Relaxed);
    }

    fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    passed: &AtomicU64,
    limit: &AtomicU64,
) {
    let mut piece = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let sum = passed.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
        if sum > limit.load(Ordering::Relaxed) || to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}

fn command(node: &Node, line: &BreakingLine, folder: &Path, args: &[&str]) -> tokio::process::Command {
    let mut command = dm_node();
    command
        .args(args)
        .args(["--api", &line.url])
        .env("DM_API_KEY", &node.started.api_key)
        .env("XDG_STATE_HOME", folder)
        .current_dir(folder);
    command
}

#[tokio::test]
async fn a_large_file_is_shared_and_fetched_by_the_command_line_through_breaking_connections() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let folder = tempdir().unwrap();
    let data = bytes(12 << 20, 5);
    fs::write(folder.path().join("large.bin"), &data).unwrap();
    let line = BreakingLine::to(&node, 5 << 20).await;

    let share = ["share", "large.bin", "--to", SOMEBODY, "--label", "a=b", "--json"];
    let output = command(&node, &line, folder.path(), &share)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(line.broken() >= 2, "{}", line.broken());
    assert!(errors.contains("goes on at byte"), "{errors}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hash = data_hash(&data);
    assert_eq!(answer["data_hash"], hash.as_str());
    let state = folder.path().join("dm-node/uploads");
    assert_eq!(fs::read_dir(state).unwrap().count(), 0, "nothing is remembered");

    let before = line.broken();
    let get = ["get", &hash, "-o", "fetched.bin"];
    let output = command(&node, &line, folder.path(), &get).output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(line.broken() >= before + 2);
    assert!(fs::read(folder.path().join("fetched.bin")).unwrap() == data);
}

#[tokio::test]
async fn the_same_command_goes_on_with_what_an_interrupted_one_has_sent() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let folder = tempdir().unwrap();
    let data = bytes(12 << 20, 6);
    fs::write(folder.path().join("large.bin"), &data).unwrap();
    // A first run that is killed while it waits to try again.
    let line = BreakingLine::to(&node, 6 << 20).await;
    let share = ["share", "large.bin", "--to", SOMEBODY, "--json"];
    let mut first = command(&node, &line, folder.path(), &share);
    let mut first = first.kill_on_drop(true).spawn().unwrap();
    eventually("the connection is broken", || async {
        (line.broken() > 0).then_some(())
    })
    .await;
    first.kill().await.unwrap();
    line.heal();

    let output = command(&node, &line, folder.path(), &share)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("goes on with an earlier upload at byte"),
        "{errors}"
    );
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["data_hash"], data_hash(&data));

    // What is left of a download is gone on with, too; of other data it is not.
    let hash = data_hash(&data);
    let partial = |hash: &str| folder.path().join(format!("out.bin.{}.partial", &hash[..16]));
    fs::write(partial(&hash), &data[..5 << 20]).unwrap();
    let get = ["get", hash.as_str(), "-o", "out.bin"];
    let output = command(&node, &line, folder.path(), &get).output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(fs::read(folder.path().join("out.bin")).unwrap() == data);
    assert!(!partial(&hash).exists());
    fs::remove_file(folder.path().join("out.bin")).unwrap();
    fs::write(partial(&hash), vec![0; 5 << 20]).unwrap();
    let output = command(&node, &line, folder.path(), &get).output().await.unwrap();
    assert!(!output.status.success(), "it is not the data");
    assert!(!folder.path().join("out.bin").exists());
    assert!(!partial(&hash).exists(), "the next run begins anew");
}
