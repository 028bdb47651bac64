//! What an owner says of its data: its readers learn it, and nobody else.

use std::{fs, path::Path};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::tempdir;

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup,
    copies::have_copies,
    data_hash, eventually,
    http::answer,
    link::{Link, Quality},
    node::dm_node,
};

/// Words of the descriptor, none of which stands in the data.
const SAID: [&str; 4] = [
    "zebrastreifen2026.pdf",
    "application/x-zebra",
    "vertraulich-4711",
    "order-4712",
];

/// Files under a folder that have one of these words in them, in UTF-8.
fn files_that_tell(folder: &Path) -> Vec<String> {
    let mut telling = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            telling.extend(files_that_tell(&path));
            continue;
        }
        // A file of the running node may be gone by now.
        let bytes = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        if SAID.iter().any(|word| text.contains(word)) {
            telling.push(path.display().to_string());
        }
    }
    telling
}

async fn run(node: &Node, args: &[&str], folder: &Path) -> std::process::Output {
    dm_node()
        .args(args)
        .args(["--api", &node.started.external_api])
        .env("DM_API_KEY", &node.started.api_key)
        .current_dir(folder)
        .output()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_name_goes_to_the_reader_and_is_on_no_disk() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let setup = |n: usize| NodeSetup::new(homes[n].path()).on_chain(&chain.url, FUNDED_KEYS[n]);
    let owner = setup(0).start().await;
    let reader = setup(1).peer(&owner).start().await;
    let replica = setup(2).peer(&owner).start().await;
    owner.has_peers(2).await;
    let folder = tempdir().unwrap();
    let file = folder.path().join(SAID[0]);
    fs::write(&file, "what is in it").unwrap();

    let label = format!("stage={}", SAID[2]);
    let shared = run(
        &owner,
        &[
            "share",
            file.to_str().unwrap(),
            "--to",
            reader.address(),
            "--media-type",
            SAID[1],
            "--label",
            &label,
            "--correlation-id",
            SAID[3],
        ],
        folder.path(),
    )
    .await;
    assert!(shared.status.success(), "{shared:?}");
    let hash = data_hash(b"what is in it");
    have_copies([&replica], std::slice::from_ref(&hash), 1).await;

    let response = reader
        .request(Method::GET, &format!("/objects/{hash}"))
        .send()
        .await
        .unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), SAID[1]);
    assert_eq!(
        header("content-disposition"),
        format!("attachment; filename*=UTF-8''{}", SAID[0])
    );
    assert_eq!(header("x-content-type-options"), "nosniff");

    // Under its name only where that is asked for, and in the place of no other file.
    let target = tempdir().unwrap();
    let taken = run(&reader, &["get", &hash, "-O"], target.path()).await;
    assert!(taken.status.success(), "{taken:?}");
    assert_eq!(fs::read(target.path().join(SAID[0])).unwrap(), b"what is in it");
    fs::write(target.path().join(SAID[0]), "mine").unwrap();
    let refused = run(&reader, &["get", &hash, "-O"], target.path()).await;
    assert!(!refused.status.success());
    assert_eq!(fs::read(target.path().join(SAID[0])).unwrap(), b"mine");
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);

    for node in [owner, reader, replica] {
        let (setup, status, errors) = node.stop().await;
        assert!(status.success(), "{errors}");
        assert_eq!(files_that_tell(&setup.data_dir), Vec::<String>::new());
    }
}

#[tokio::test]
async fn no_byte_between_nodes_tells_what_is_shared_or_its_name() {
    let (chain_home, homes) = (tempdir().unwrap(), [tempdir().unwrap(), tempdir().unwrap()]);
    let chain = Devnet::start(chain_home.path()).await;
    let setup = |n: usize| NodeSetup::new(homes[n].path()).on_chain(&chain.url, FUNDED_KEYS[n]);
    let owner = setup(0).start().await;
    let link = Link::tcp(&owner, Quality::PERFECT).await;
    // It reaches the owner over the link alone, and is reached by nobody.
    let reader = setup(1)
        .env("DM_NETWORK__LISTEN", "false")
        .peer_at(link.address());
    let reader = reader.start().await;
    owner.has_peers(1).await;
    reader.has_peers(1).await;

    let data = "zebra-4713 ".repeat(20_000);
    let body = json!({
        "data": data, "recipient": reader.address(), "name": SAID[0], "media_type": SAID[1],
        "labels": {"stage": SAID[2]}, "correlation_id": SAID[3],
    });
    let (status, shared) = answer(owner.request(Method::POST, "/share_data").json(&body)).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    let hash = data_hash(data.as_bytes());
    let item = eventually("the reader is told", async || {
        let (_, inbox) = reader.get("/inbox").await;
        inbox["items"].get(0).cloned()
    })
    .await;
    assert_eq!(item["name"], SAID[0]);
    assert_eq!(reader.reads(&hash).await, data.as_bytes());

    let passed = link.passed();
    let bytes: usize = passed.iter().map(Vec::len).sum();
    assert!(bytes > data.len(), "only {bytes} bytes passed");
    let tells = |word: &str| passed.iter().any(|bytes| contains(bytes, word.as_bytes()));
    // What stands in the open before the encryption begins is found.
    assert!(tells("/noise"));
    for word in SAID.iter().chain(&["zebra-4713", hash.trim_start_matches("0x")]) {
        assert!(!tells(word), "{word}");
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

#[tokio::test]
async fn a_name_that_programs_look_for_is_written_only_where_the_user_says() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("file"), "alias ls=evil").unwrap();
    let shared = run(
        &node,
        &["share", "file", "--to", node.address(), "--name", ".bashrc"],
        folder.path(),
    )
    .await;
    assert!(shared.status.success(), "{shared:?}");
    let hash = data_hash(b"alias ls=evil");
    let refused = run(&node, &["get", &hash, "-O"], folder.path()).await;
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && errors.contains("choose one with -o"),
        "{errors}"
    );
    let chosen = run(&node, &["get", &hash, "-o", ".bashrc"], folder.path()).await;
    assert!(chosen.status.success(), "{chosen:?}");
}
