//! Folders: one shares a folder, the other has it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, bytes, eventually, node::dm_node};

async fn run(node: &Node, args: &[&str], folder: &Path) -> Output {
    dm_node()
        .args(args)
        .current_dir(folder)
        .env("DM_API", &node.started.external_api)
        .env("DM_API_KEY", &node.started.api_key)
        .output()
        .await
        .unwrap()
}

async fn succeeds(node: &Node, args: &[&str], folder: &Path) -> String {
    let output = run(node, args, folder).await;
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn fails(node: &Node, args: &[&str], folder: &Path) -> String {
    let output = run(node, args, folder).await;
    assert!(!output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// All paths in a folder, with the bytes of the files.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(place) = open.pop() {
        for child in fs::read_dir(place).unwrap() {
            let path = child.unwrap().path();
            let inner = path.strip_prefix(folder).unwrap().to_owned();
            match path.is_dir() {
                true => {
                    found.insert(inner, None);
                    open.push(path);
                }
                false => drop(found.insert(inner, Some(fs::read(&path).unwrap()))),
            }
        }
    }
    found
}

fn make_report(folder: &Path) {
    fs::create_dir_all(folder.join("minutes/old")).unwrap();
    fs::create_dir(folder.join("still empty")).unwrap();
    fs::write(folder.join("numbers.bin"), bytes(700_000, 5)).unwrap();
    fs::write(folder.join("minutes/november – é.txt"), "what was said").unwrap();
    fs::write(folder.join("minutes/old/").join("n".repeat(120)), "").unwrap();
}

#[tokio::test]
async fn a_folder_arrives_as_it_was() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let (home, other_home) = (tempdir().unwrap(), tempdir().unwrap());
    let owner = NodeSetup::new(home.path())
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    let reader = NodeSetup::new(other_home.path())
        .on_chain(&chain.url, FUNDED_KEYS[1])
        .env("DM_INBOX__ACCEPT", "anyone")
        .peer(&owner)
        .start()
        .await;
    owner.has_peers(1).await;
    let (there, here) = (tempdir().unwrap(), tempdir().unwrap());
    let report = there.path().join("report");
    make_report(&report);
    let share = [
        "share",
        "--json",
        "report",
        "--to",
        reader.address(),
        "--label",
        "kind=report",
    ];
    let first: Value = serde_json::from_str(&succeeds(&owner, &share, there.path()).await).unwrap();

    // What is in it is told before it is fetched.
    let item = eventually("the folder is listed", async || {
        let (status, answer) = reader.get("/inbox?name=report.tar&label.kind=report").await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["items"].get(0).cloned()
    })
    .await;
    assert_eq!(item["media_type"], "application/x-tar; entries=6; bytes=700013");
    assert_eq!(item["labels"]["listing.01"], "13 minutes/november – é.txt");
    assert_eq!(item["labels"]["listing.03"], "700000 numbers.bin");

    succeeds(&reader, &["get", "report.tar", "-o", "copy"], here.path()).await;
    assert_eq!(contents(&here.path().join("copy")), contents(&report));
    succeeds(&reader, &["get", "report.tar", "-O"], here.path()).await;
    assert_eq!(contents(&here.path().join("report")), contents(&report));
    let error = fails(&reader, &["get", "report.tar", "-o", "copy"], here.path()).await;
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(contents(&here.path().join("copy")), contents(&report));

    // It stays packed where that is wanted, and the archive is one for other programs.
    for args in [["--archive", "-o", "packed"], ["--archive", "-o", "packed.tar"]] {
        succeeds(
            &reader,
            &[&["get", "report.tar"], &args[..]].concat(),
            here.path(),
        )
        .await;
    }
    succeeds(&reader, &["get", "report.tar", "-o", "again.tar"], here.path()).await;
    let packed = fs::read(here.path().join("packed")).unwrap();
    assert_eq!(packed, fs::read(here.path().join("packed.tar")).unwrap());
    assert_eq!(packed, fs::read(here.path().join("again.tar")).unwrap());
    fs::create_dir(here.path().join("by tar")).unwrap();
    tar::Archive::new(packed.as_slice())
        .unpack(here.path().join("by tar"))
        .unwrap();
    assert_eq!(contents(&here.path().join("by tar")), contents(&report));

    // The same folder is the same data, also from its copy.
    fs::rename(here.path().join("copy"), here.path().join("report-2")).unwrap();
    let again = [
        "share",
        "--json",
        "report-2",
        "--name",
        "report.tar",
        "--to",
        reader.address(),
    ];
    let second: Value = serde_json::from_str(&succeeds(&owner, &again, here.path()).await).unwrap();
    assert_eq!(first["data_hash"], second["data_hash"]);
}

#[tokio::test]
async fn an_archive_that_leads_out_of_its_folder_leaves_nothing() {
    let (home, here) = (tempdir().unwrap(), tempdir().unwrap());
    let node = NodeSetup::new(home.path()).start().await;
    let evil = hostile_archive("../evil");
    let response = node
        .request(Method::PUT, &format!("/objects?recipient={SOMEBODY}"))
        .header("Content-Type", "application/x-tar; entries=1; bytes=4")
        .body(evil)
        .send()
        .await
        .unwrap();
    assert!(response.status().is_success());
    let answer: Value = response.json().await.unwrap();
    let hash = answer["data_hash"].as_str().unwrap();
    let work = here.path().join("work");
    fs::create_dir(&work).unwrap();
    let error = fails(&node, &["get", hash, "-o", "target"], &work).await;
    assert!(error.contains("the archive is not unpacked"), "{error}");
    assert_eq!(contents(here.path()).len(), 1);
}

/// One file, whose path no library would write.
fn hostile_archive(path: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(4);
    header.set_mode(0o644);
    header.set_cksum();
    let mut archive = header.as_bytes().to_vec();
    archive.extend(b"evil");
    archive.resize(2048, 0);
    archive
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_with_a_link_is_not_shared() {
    let (home, there) = (tempdir().unwrap(), tempdir().unwrap());
    let node = NodeSetup::new(home.path()).start().await;
    let folder = there.path().join("folder");
    make_report(&folder);
    std::os::unix::fs::symlink("/etc/passwd", folder.join("passwd")).unwrap();
    let error = fails(&node, &["share", "folder", "--to", SOMEBODY], there.path()).await;
    assert!(error.contains("passwd cannot be shared: it is a link"), "{error}");
    let (_, history) = node.get("/compliance_history").await;
    assert_eq!(history["count"], 0, "{history}");
}

#[tokio::test]
async fn a_dash_is_standard_output_which_takes_no_folder() {
    let (home, here) = (tempdir().unwrap(), tempdir().unwrap());
    let node = Node::start(&home).await;
    let work = here.path().join("work");
    fs::create_dir(&work).unwrap();
    let (file, report) = (here.path().join("file"), here.path().join("report"));
    fs::write(&file, bytes(200_000, 3)).unwrap();
    make_report(&report);
    let share = async |path: &Path| {
        let args = ["share", "--json", path.to_str().unwrap(), "--to", SOMEBODY];
        let shared: Value = serde_json::from_str(&succeeds(&node, &args, &work).await).unwrap();
        shared["data_hash"].as_str().unwrap().to_owned()
    };
    let (of_file, of_report) = (share(&file).await, share(&report).await);

    let output = run(&node, &["get", &of_file, "-o", "-"], &work).await;
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout == fs::read(&file).unwrap());

    let refused = run(&node, &["get", &of_report, "-o", "-"], &work).await;
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{error}");
    assert!(
        error.contains("is a folder") && error.contains("--archive"),
        "{error}"
    );
    assert!(contents(&work).is_empty(), "no file is named so");

    let packed = run(&node, &["get", &of_report, "--archive", "-o", "-"], &work).await;
    assert!(packed.status.success(), "{packed:?}");
    succeeds(&node, &["get", &of_report, "-o", "report.tar"], &work).await;
    assert!(packed.stdout == fs::read(work.join("report.tar")).unwrap());
}
