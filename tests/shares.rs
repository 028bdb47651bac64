//! Shares with several recipients, and where each share stands.

use std::{fs, path::Path, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, data_hash, eventually, http::answer, node::dm_node,
};

/// Addresses of nodes that nobody has seen.
fn unseen(count: u8) -> Vec<String> {
    (1..=count).map(|n| format!("0x{n:040x}")).collect()
}

async fn start(chain: &Devnet, homes: &[TempDir]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for (home, key) in homes.iter().zip(FUNDED_KEYS) {
        let setup = NodeSetup::new(home.path())
            .on_chain(&chain.url, key)
            .env("DM_INBOX__ACCEPT", "anyone");
        let setup = match nodes.first() {
            Some(first) => setup.peer(first),
            None => setup,
        };
        nodes.push(setup.start().await);
    }
    nodes[0].has_peers(homes.len() as u64 - 1).await;
    nodes
}

/// The shares that a query finds, once they are so.
async fn shares(node: &Node, query: &str, are_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    eventually("the shares stand so", async || {
        let (status, answer) = node.get(&format!("/shares?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let shares = answer["shares"].as_array().unwrap().clone();
        are_so(&shares).then_some(shares)
    })
    .await
}

async fn command(node: &Node, args: &[&str]) -> (bool, String) {
    let output = dm_node()
        .args(args)
        .args(["--api", &node.started.external_api])
        .env("DM_API_KEY", &node.started.api_key)
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn is_told_by_a_file(folder: &Path, word: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_told_by_a_file(&path, word);
        }
        // A file of the running node may be gone by now.
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(word.len()).any(|part| part == word.as_bytes())
    })
}

#[tokio::test]
async fn one_recipient_that_fails_does_not_undo_the_others() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let mut nodes = start(&chain, &homes).await;
    let (reader, owner) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let [away, forbidden] = <[String; 2]>::try_from(unseen(2)).unwrap();
    let key = json!({
        "name": "narrowed", "scopes": ["share"], "recipients": [reader.address(), away],
    });
    let (status, key) = answer(owner.internal(Method::POST, "/api_keys").json(&key)).await;
    assert_eq!(status, StatusCode::CREATED, "{key}");
    let contact = json!({"address": reader.address(), "trust": "accept"});
    let (status, added) = answer(owner.internal(Method::PUT, "/contacts/acme").json(&contact)).await;
    assert!(status.is_success(), "{added}");

    let body = json!({"data": "for some", "recipients": [forbidden, "acme", away]});
    let url = format!("{}/share_data", owner.started.external_api);
    let request = reqwest::Client::new()
        .post(url)
        .header("X-API-Key", key["key"].as_str().unwrap());
    let (status, shared) = answer(request.json(&body)).await;
    assert!(status.is_success(), "{shared}");
    let outcomes: Vec<(&str, bool)> = shared["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| (share["recipient"].as_str().unwrap(), share["status"] != "failed"))
        .collect();
    assert_eq!(
        outcomes,
        [
            (forbidden.as_str(), false),
            (reader.address(), true),
            (away.as_str(), true)
        ]
    );
    assert_eq!(shared["shares"][0]["code"], 403);
    assert_eq!(shared["shares"][2]["grant"], "pending");
    let hash = data_hash(b"for some");
    let read = eventually("the reader has it", async || {
        let (_, read) = reader.get(&format!("/data/{hash}")).await;
        read["data"].as_str().map(str::to_owned)
    });
    assert_eq!(read.await, "for some");

    // The same on the command line: one line for each.
    let file = homes[0].path().join("for-two.txt");
    fs::write(&file, "for two").unwrap();
    let to = format!("acme,{away}");
    let (is_made, text) = command(&owner, &["share", file.to_str().unwrap(), "--to", &to]).await;
    assert!(is_made, "{text}");
    assert!(
        text.lines().any(|line| line.starts_with(reader.address())),
        "{text}"
    );
    assert!(text.lines().any(|line| line.starts_with(&away)), "{text}");
}

#[tokio::test]
async fn a_share_with_several_is_idempotent_as_a_whole() {
    const RECIPIENTS: u8 = 24;
    let home = tempdir().unwrap();
    let mut owner = NodeSetup::new(home.path()).start().await;
    let mut was_cut_off = 0;
    for (round, delay) in [0, 20, 40, 60, 90].into_iter().enumerate() {
        let (key, data) = (format!("key {round}").replace(' ', "-"), format!("data {round}"));
        let recipients = unseen(RECIPIENTS);
        let body = json!({"data": data, "recipients": recipients, "name": "list.txt"});
        let share = |node: &Node, body: &Value| {
            let request = node.request(Method::POST, "/share_data");
            request.header("Idempotency-Key", &key).json(body)
        };
        let first = tokio::spawn(share(&owner, &body).send());
        tokio::time::sleep(Duration::from_millis(delay)).await;
        owner = owner.kill().await.start().await;
        was_cut_off += usize::from(first.await.unwrap().is_err());

        let (status, again) = answer(share(&owner, &body)).await;
        assert!(status.is_success(), "{again}");
        let made = again["shares"].as_array().unwrap();
        assert_eq!(made.len(), recipients.len());
        assert!(made.iter().all(|share| share["status"] != "failed"), "{again}");
        let other = json!({"data": data, "recipients": unseen(RECIPIENTS + 1), "name": "list.txt"});
        let (status, refused) = answer(share(&owner, &other)).await;
        assert_eq!(
            (status, &refused["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("Idempotency-Key"))
        );
        let hash = data_hash(data.as_bytes());
        let (_, told) = owner.get(&format!("/shares/{hash}")).await;
        assert_eq!(told["shares"].as_array().unwrap().len(), recipients.len());
        let events = told["events"].as_array().unwrap();
        let mut recorded: Vec<&str> = events
            .iter()
            .map(|event| event["recipient"].as_str().unwrap())
            .collect();
        recorded.sort_unstable();
        recorded.dedup();
        assert_eq!(
            (events.len(), recorded.len()),
            (recipients.len(), recipients.len())
        );
    }
    assert!(was_cut_off > 0, "no request was cut off");
}

#[tokio::test]
async fn both_sides_see_where_each_share_stands() {
    const NAME: &str = "zimtschnecken.pdf";
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let mut nodes = start(&chain, &homes).await;
    let (reader, owner) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let away = unseen(1).remove(0);
    let body = json!({
        "data": "recipe", "recipients": [reader.address(), away],
        "name": NAME, "labels": {"kind": "recipe"},
    });
    let (status, shared) = answer(owner.request(Method::POST, "/share_data").json(&body)).await;
    assert!(status.is_success(), "{shared}");
    let hash = data_hash(b"recipe");

    let with_reader = format!("recipient={}&name={NAME}&label.kind=recipe", reader.address());
    let is_told = |share: &Value| {
        !share["notified_at"].is_null() && share["status"] == "anchored" && share["replicas"] == 1
    };
    let told = shares(&owner, &with_reader, |shares| shares.iter().any(is_told)).await;
    let share = &told[0];
    assert_eq!(told.len(), 1);
    assert_eq!((&share["name"], &share["grant"]), (&json!(NAME), &json!("made")));
    assert_eq!(
        (&share["replicas_wanted"], &share["size"]),
        (&json!(3), &json!(6))
    );
    for field in [
        "receipt",
        "recorded_at",
        "tx_hash",
        "block",
        "anchored_at",
        "granted_at",
    ] {
        assert!(!share[field].is_null(), "{field}: {share}");
    }
    let (status, item) = reader.get(&format!("/inbox/{hash}")).await;
    assert_eq!((status, &item["name"]), (StatusCode::OK, &json!(NAME)));

    // Whoever reads the data says so by itself.
    let (status, _) = reader.get(&format!("/data/{hash}")).await;
    assert_eq!(status, StatusCode::OK);
    let read = shares(&owner, "state=acknowledged", |shares| shares.len() == 1).await;
    assert_eq!(read[0]["recipient"], reader.address());
    for field in ["notified_at", "fetched_at", "acknowledged_at", "delivery_receipt"] {
        assert!(!read[0][field].is_null(), "{field}: {}", read[0]);
    }
    let (_, item) = reader.get(&format!("/inbox/{hash}")).await;
    assert_eq!(item["state"], "acknowledged");

    let waiting = shares(&owner, "state=shared", |shares| shares.len() == 1).await;
    assert_eq!(waiting[0]["grant"], "pending");
    assert!(
        waiting[0]["recipient"]
            .as_str()
            .unwrap()
            .eq_ignore_ascii_case(&away)
    );
    let (_, text) = command(&owner, &["shares", NAME]).await;
    assert!(text.contains("waits for key") && text.contains("of 3"), "{text}");

    let revoked = owner.request(Method::DELETE, &format!("/data/{hash}/grants"));
    let (status, answered) = answer(revoked.json(&json!({"recipient": reader.address()}))).await;
    assert_eq!(status, StatusCode::OK, "{answered}");
    let owner = owner.restart().await;
    let ended = shares(&owner, "state=revoked", |shares| shares.len() == 1).await;
    assert_eq!(
        (&ended[0]["receipt"], &ended[0]["name"]),
        (&share["receipt"], &json!(NAME))
    );
    assert!(ended[0]["ended_at"].as_u64() >= ended[0]["created_at"].as_u64());
    let (_, all) = owner.get(&format!("/shares/{hash}")).await;
    let kinds: Vec<&str> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"revoke") && kinds.contains(&"data_share"),
        "{kinds:?}"
    );
    let (_, text) = command(&owner, &["shares", &hash]).await;
    assert!(text.contains("revoked") && text.contains("data_share"), "{text}");
    for home in &homes {
        assert!(!is_told_by_a_file(home.path(), NAME), "{}", home.path().display());
    }
}
