//! A stopped node is moved from its data directory into a database and a bucket, and back.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use dm_testing::s3::Moto;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    inbox::{listed, share_named},
    s3::{LARGE, must_put},
    support::{
        Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, bytes, data_hash, http::answer, node::dm_node,
        plugin::install_sample, postgres::Postgres,
    },
    users::ed25519_user,
};

const PASSWORD: &str = "correct horse battery staple";
/// What is said where a node was moved away.
const MOVED: &str = "this node was moved to";

/// Where a node is: a data directory, and settings beside it, which a file has and the environment.
struct Place {
    home: TempDir,
    settings: Vec<(&'static str, Value)>,
}

impl Place {
    /// A data directory that has everything.
    fn embedded(chain: &Devnet) -> Self {
        Self {
            home: tempdir().unwrap(),
            settings: vec![("blockchain_url", json!(chain.url))],
        }
    }

    /// A database and a bucket, and what else a process needs.
    fn shared(chain: &Devnet, postgres: &Postgres, moto: &Moto) -> Self {
        let bucket = moto.make_bucket();
        let mut place = Self::embedded(chain);
        place.settings.extend([
            ("catalog_url", json!(postgres.url())),
            ("catalog.password_file", json!(postgres.password_file())),
            ("storage.objects_url", json!(format!("s3://{bucket}/node"))),
            ("storage.s3.endpoint", json!(moto.url())),
            ("storage.s3.allow_http", json!(true)),
            ("storage.s3.retry_timeout_secs", json!(5)),
        ]);
        place
    }

    fn data_dir(&self) -> PathBuf {
        self.home.path().join("node")
    }

    /// Its configuration file.
    fn file(&self) -> PathBuf {
        let file = self.home.path().join("settings.toml");
        let mut text = format!("data_dir = {}\n", json!(self.data_dir()));
        for (name, value) in &self.settings {
            text.push_str(&format!("{name} = {value}\n"));
        }
        fs::write(&file, text).unwrap();
        file
    }

    fn setup(&self) -> NodeSetup {
        let mut setup = NodeSetup::new(&self.data_dir()).env("DM_INBOX__ACCEPT", "anyone");
        for (name, value) in &self.settings {
            let variable = format!("DM_{}", name.to_uppercase().replace('.', "__"));
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            setup = setup.env(&variable, &text);
        }
        credentials()
            .into_iter()
            .fold(setup, |setup, (name, value)| setup.env(name, value))
    }

    /// Why no node starts here.
    async fn refusal(&self) -> String {
        match self.setup().try_start().await {
            Ok(_) => panic!("it starts"),
            Err(why) => why,
        }
    }
}

fn credentials() -> [(&'static str, &'static str); 4] {
    [
        ("PRIVATE_KEY", FUNDED_KEYS[0]),
        ("KEY_MASTER_PASSWORD", PASSWORD),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
}

fn migrate(from: &Place, to: &Place) -> Command {
    let mut command = dm_node();
    command
        .args(["migrate", "--json", "--config"])
        .arg(from.file())
        .arg("--to-config")
        .arg(to.file())
        .envs(credentials())
        .kill_on_drop(true);
    command
}

/// What the command prints, or why it fails.
async fn run(mut command: Command) -> Result<Value, String> {
    let output = command.output().await.unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

async fn must_migrate(from: &Place, to: &Place) -> Value {
    run(migrate(from, to)).await.unwrap_or_else(|why| panic!("{why}"))
}

async fn check(from: &Place, to: &Place) -> Result<Value, String> {
    let mut command = migrate(from, to);
    command.arg("--check");
    run(command).await
}

async fn stop(node: Node) {
    let (_, status, errors) = node.stop().await;
    assert!(status.success(), "{errors}");
}

/// What a node has that must not change on the way.
async fn facts(node: &Node) -> BTreeMap<&'static str, Value> {
    let mut facts = BTreeMap::new();
    let (_, history) = node.get("/compliance_history?limit=100").await;
    let events = history["history"].as_array().unwrap().iter();
    facts.insert(
        "history",
        events
            .map(|event| json!([event["event_type"], event["data_hash"], event["recipient"]]))
            .collect(),
    );
    let (_, shares) = node.get("/shares?limit=100").await;
    let shares = shares["shares"].as_array().unwrap().iter();
    facts.insert(
        "shares",
        shares
            .map(|share| json!([share["data_hash"], share["recipient"]]))
            .collect(),
    );
    let (_, inbox) = node.get("/inbox").await;
    let items = inbox["items"].as_array().unwrap().iter();
    facts.insert(
        "inbox",
        items
            .map(|item| json!([item["data_hash"], item["name"], item["from"]]))
            .collect(),
    );
    let (_, users) = answer(node.internal(Method::GET, "/users")).await;
    facts.insert("users", users);
    let (_, plugins) = answer(node.internal(Method::GET, "/plugins")).await;
    let plugins = plugins["plugins"].as_array().unwrap().iter();
    facts.insert(
        "plugins",
        plugins
            .map(|plugin| json!([plugin["name"], plugin["state"]]))
            .collect(),
    );
    facts
}

/// All of the lists, and what has come since.
fn assert_has(now: &BTreeMap<&'static str, Value>, before: &BTreeMap<&'static str, Value>) {
    for (name, before) in before {
        let now = &now[name];
        match (before.as_array(), now.as_array()) {
            (Some(before), Some(now)) => {
                for one in before {
                    assert!(now.contains(one), "{name}: {one} is not in {now:?}");
                }
            }
            _ => assert_eq!(now, before, "{name}"),
        }
    }
}

async fn passes(node: &Node, api_key: &str) -> bool {
    let url = format!("{}/compliance_history", node.started.external_api);
    let request = Client::new().get(url).header("X-API-Key", api_key);
    request.send().await.unwrap().status() == StatusCode::OK
}

/// Data that a node has shared, by its hash.
type Shared = Vec<(String, Vec<u8>)>;

async fn has(node: &Node, shared: &[(String, Vec<u8>)]) {
    for (hash, data) in shared {
        assert!(node.reads(hash).await == *data, "{hash}");
        node.verifies(hash).await;
    }
}

#[tokio::test]
async fn a_node_goes_into_a_database_and_a_bucket_and_back_with_everything() {
    let (Some(postgres), Some(moto)) = (Postgres::running().await, Moto::running()) else {
        return;
    };
    let (chain_home, reader_home, user_home) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let places = [
        Place::embedded(&chain),
        Place::shared(&chain, &postgres, moto),
        Place::embedded(&chain),
    ];
    let [first, shared, last] = &places;
    let reader_setup = || {
        NodeSetup::new(reader_home.path())
            .on_chain(&chain.url, FUNDED_KEYS[1])
            .env("DM_INBOX__ACCEPT", "anyone")
    };

    fs::create_dir_all(first.data_dir()).unwrap();
    install_sample(&user_home, "events");
    fs::rename(user_home.path().join("plugins"), first.data_dir().join("plugins")).unwrap();
    let node = first.setup().start().await;
    let api_key = node.started.api_key.clone();
    let reader = reader_setup().peer(&node).start().await;
    reader.has_peers(1).await;
    share_named(&reader, "for the node", node.address(), "arrived.txt").await;
    listed(&node, "name=arrived.txt", 1).await;
    let reader_address = reader.address().to_owned();
    stop(reader).await;
    ed25519_user(&node, &user_home, "alice").await;
    let (status, answered) = answer(node.internal(Method::POST, "/plugins/sample/disable")).await;
    assert_eq!(status, StatusCode::OK, "{answered}");
    let (revoked, erased) = (
        node.must_share("revoked", SOMEBODY).await,
        node.must_share("erased", SOMEBODY).await,
    );
    let request = node.request(Method::DELETE, &format!("/data/{revoked}/grants"));
    let (status, answered) = answer(request.json(&json!({"recipient": SOMEBODY}))).await;
    assert_eq!(status, StatusCode::OK, "{answered}");
    let (status, answered) = answer(node.request(Method::DELETE, &format!("/data/{erased}"))).await;
    assert_eq!(status, StatusCode::OK, "{answered}");
    let (small, large) = (b"small".to_vec(), bytes(LARGE, 1));
    let mut data: Shared = vec![
        (node.must_share("small", SOMEBODY).await, small),
        (must_put(&node, &large).await, large),
        (revoked, b"revoked".to_vec()),
    ];
    // Nobody takes this letter before the node has moved.
    share_named(&node, "a letter that waits", &reader_address, "letter.txt").await;
    has(&node, &data).await;
    let before = facts(&node).await;
    stop(node).await;

    let moved = must_migrate(first, shared).await;
    assert!(
        moved["events"].as_u64() >= Some(6) && moved["rows"].as_u64() > moved["events"].as_u64(),
        "{moved}"
    );
    assert!(moved["entries"].as_u64() >= Some(2), "{moved}");
    let checked = check(first, shared).await.unwrap();
    assert_eq!(checked, moved);
    let refused = first.refusal().await;
    assert!(
        refused.contains(MOVED) && refused.contains(moved["to"].as_str().unwrap()),
        "{refused}"
    );
    let again = run(migrate(first, shared)).await.unwrap_err();
    assert!(again.contains("already: run it there"), "{again}");

    let node = shared.setup().start().await;
    assert_eq!(json!(node.address()), moved["node"]);
    assert!(
        !node.setup.data_dir.join("objects/fjall").exists(),
        "the index is in the database"
    );
    has(&node, &data).await;
    assert_has(&facts(&node).await, &before);
    assert!(passes(&node, &api_key).await);
    assert_eq!(node.object(&erased).await.0, StatusCode::NOT_FOUND);
    let reader = reader_setup().peer(&node).start().await;
    listed(&reader, "name=letter.txt", 1).await;
    assert_eq!(
        reader.reads(&data_hash(b"a letter that waits")).await,
        b"a letter that waits"
    );
    stop(reader).await;
    let later = bytes(LARGE, 2);
    data.push((must_put(&node, &later).await, later));
    data.push((node.must_share("later", SOMEBODY).await, b"later".to_vec()));
    has(&node, &data).await;
    let before = facts(&node).await;
    stop(node).await;
    assert!(check(first, shared).await.unwrap_err().contains("not the same"));

    let back = must_migrate(shared, last).await;
    assert!(back["events"].as_u64() > moved["events"].as_u64(), "{back}");
    assert_eq!(check(shared, last).await.unwrap(), back);
    let refused = shared.refusal().await;
    assert!(refused.contains(MOVED), "{refused}");
    let node = last.setup().start().await;
    has(&node, &data).await;
    assert_has(&facts(&node).await, &before);
    assert!(passes(&node, &api_key).await);
    let after = node.must_share("at home again", SOMEBODY).await;
    has(&node, &[(after, b"at home again".to_vec())]).await;
}

/// Every file below a folder with its size.
fn files_below(folder: &Path, found: &mut BTreeMap<PathBuf, u64>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.insert(path.clone(), path.metadata().unwrap().len());
        }
    }
}

/// Moves a node, and kills that at the beginning of each of its steps and shortly after.
async fn migrate_under_fire(from: &Place, to: &Place) -> Value {
    for step in 1.. {
        let mut command = migrate(from, to);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut last = String::new();
        for _ in 0..2 * step {
            match lines.next_line().await.unwrap() {
                Some(line) => last = line,
                None => break,
            }
        }
        // No promise: whatever the moment is, it must be survived.
        tokio::time::sleep(Duration::from_millis(step * 7 % 31)).await;
        process.start_kill().unwrap();
        let status = process.wait().await.unwrap();
        if status.code().is_some() {
            assert!(step > 5, "it ended before it was killed: {last}");
            break;
        }
        // Neither side runs meanwhile.
        if step % 4 == 0 {
            assert!(from.refusal().await.contains(MOVED));
            let incomplete = to.refusal().await;
            assert!(incomplete.contains("not complete"), "{incomplete}");
        }
    }
    check(from, to).await.unwrap_or_else(|why| panic!("{why}"))
}

#[tokio::test]
async fn a_move_that_is_killed_at_every_step_is_gone_on_with_and_loses_nothing() {
    let (Some(postgres), Some(moto)) = (Postgres::running().await, Moto::running()) else {
        return;
    };
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let first = Place::embedded(&chain);
    let node = first.setup().start().await;
    let mut data = Shared::new();
    for number in 0..30 {
        let text = format!("share {number}");
        data.push((node.must_share(&text, SOMEBODY).await, text.into_bytes()));
    }
    for seed in 1..4 {
        let large = bytes(LARGE / 4, seed);
        data.push((must_put(&node, &large).await, large));
    }
    stop(node).await;

    let mut files = BTreeMap::new();
    files_below(&first.data_dir().join("objects/files"), &mut files);
    assert_eq!(files.len(), 3);
    let shared = Place::shared(&chain, &postgres, moto);
    let moved = migrate_under_fire(&first, &shared).await;
    assert!(moved["objects"].as_u64() >= Some(33), "{moved}");
    let mut left = BTreeMap::new();
    files_below(&first.data_dir().join("objects/files"), &mut left);
    assert_eq!(left, files);
    assert!(first.data_dir().join("catalog.sqlite").exists());
    let node = shared.setup().start().await;
    has(&node, &data).await;
    data.push((node.must_share("there", SOMEBODY).await, b"there".to_vec()));
    stop(node).await;

    let last = Place::embedded(&chain);
    migrate_under_fire(&shared, &last).await;
    has(&last.setup().start().await, &data).await;
}

#[tokio::test]
async fn a_node_that_runs_or_a_target_that_holds_something_is_not_touched() {
    let Some(postgres) = Postgres::running().await else {
        return;
    };
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let (one, other) = (Place::embedded(&chain), Place::embedded(&chain));
    let mut target = Place::embedded(&chain);
    target.settings.extend([
        ("catalog_url", json!(postgres.url())),
        ("catalog.password_file", json!(postgres.password_file())),
    ]);
    let node = one.setup().start().await;
    let refused = run(migrate(&one, &target)).await.unwrap_err();
    assert!(refused.contains("in use by another process"), "{refused}");
    let hash = node.must_share("as before", SOMEBODY).await;
    stop(node).await;
    stop(other.setup().env("PRIVATE_KEY", FUNDED_KEYS[2]).start().await).await;
    let refused = run(migrate(&one, &other)).await.unwrap_err();
    assert!(refused.contains("holds a node already"), "{refused}");
    let refused = run(migrate(&one, &one)).await.unwrap_err();
    assert!(refused.contains("same data_dir"), "{refused}");
    let node = one.setup().start().await;
    assert_eq!(node.reads(&hash).await, b"as before");
    stop(node).await;

    // Objects stay in a data directory, the new one, where there is no bucket.
    must_migrate(&one, &target).await;
    let node = target.setup().start().await;
    assert_eq!(node.reads(&hash).await, b"as before");
    let back = Place::embedded(&chain);
    let refused = run(migrate(&target, &back)).await.unwrap_err();
    assert!(refused.contains("in use"), "{refused}");
    let keys = dm_node()
        .args(["api-key", "list", "--config"])
        .arg(one.file())
        .output()
        .await
        .unwrap();
    assert!(String::from_utf8_lossy(&keys.stderr).contains(MOVED), "{keys:?}");
}
