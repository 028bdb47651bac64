//! The archive for who helps an operator has what helps, and no secret.

use std::{collections::BTreeMap, fs, io::Read, path::Path, process::Output};

use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{NodeSetup, node::dm_node};

/// A secret of each kind, which can be recognised.
const PASSWORD: &str = "planted-password-1";
const PRIVATE_KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const URL_USER: &str = "planted-user-2";
const URL_PATH: &str = "planted-path-3";
const S3_SECRET: &str = "planted-s3-4";
const S3_FILE_SECRET: &str = "planted-s3-file-5";
const DATABASE_PASSWORD: &str = "planted-database-6";
const VARIABLE: &str = "planted-variable-7";
const WEBHOOK_SECRET: &str = "planted-webhook-8-0123456789abcdef";
const LOGGED: &str = "planted-logged-9";
const OIDC_SECRET: &str = "planted-oidc-10";
const OIDC_FILE_SECRET: &str = "planted-oidc-file-11";
const PLANTED: &str = "planted";
/// Secrets with a form of their own, which no setting holds.
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.MEUCIQDx_7-sig";
const CODE: &str = "SplxlOBeZQQYbYS6WxSbIA";

async fn bundle(file: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = dm_node();
    command
        .arg("support-bundle")
        .arg(file)
        .args(args)
        .envs(env.iter().copied());
    command.output().await.unwrap()
}

/// The texts in an archive, by their names.
fn texts(file: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(file).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry
            .path()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    });
    entries.collect()
}

fn no_secret(texts: &BTreeMap<String, String>, api_key: &str) {
    for (name, text) in texts {
        let of_a_form = [WHSEC, TOKEN, CODE].map(|secret| &secret[..secret.len().min(20)]);
        for secret in of_a_form.into_iter().chain([PLANTED, PRIVATE_KEY, api_key]) {
            assert!(!text.contains(secret), "{secret} is in {name}:\n{text}");
        }
    }
}

#[tokio::test]
async fn a_bundle_of_a_running_node_has_what_helps_and_no_secret() {
    let home = tempdir().unwrap();
    let data_dir = home.path().join("node");
    let node = NodeSetup::new(&data_dir)
        .env("KEY_MASTER_PASSWORD", PASSWORD)
        .env("PRIVATE_KEY", PRIVATE_KEY)
        .start()
        .await;
    let subscription = json!({
        "name": "receiver", "secret": WEBHOOK_SECRET,
        "url": format!("http://127.0.0.1:1/{URL_PATH}?token={LOGGED}"),
    });
    node.internal(Method::POST, "/subscriptions")
        .json(&subscription)
        .send()
        .await
        .unwrap();
    let hash = node.must_share("planted data", crate::support::SOMEBODY).await;
    let log = home.path().join("log");
    let lines = [
        "2026-11-30 INFO the node runs".to_owned(),
        format!("2026-11-30 DEBUG key {} of a client", node.started.api_key),
        format!("2026-11-30 WARN https://u:{LOGGED}@hooks.example/{LOGGED}?t={LOGGED} is away"),
        format!("2026-11-30 WARN password={LOGGED} secret: \"{LOGGED}\" {PASSWORD} {PRIVATE_KEY} {hash}"),
        format!("2026-11-30 DEBUG signs with {WHSEC}, was shown {TOKEN}"),
        format!("2026-11-30 DEBUG GET /api/sign_in/answer?code={CODE}&state=1"),
    ];
    fs::write(&log, lines.join("\n")).unwrap();
    let file = home.path().join("support.tar.gz");
    let (data_dir, log) = (data_dir.to_str().unwrap(), log.to_str().unwrap());
    let made = bundle(
        &file,
        &[
            "--api",
            &node.started.external_api,
            "--data-dir",
            data_dir,
            "--log",
            log,
        ],
        &[
            ("DM_API_KEY", &node.started.api_key),
            ("BLOCKCHAIN_URL", "devnet"),
            ("KEY_MASTER_PASSWORD", PASSWORD),
            ("PRIVATE_KEY", PRIVATE_KEY),
            ("SOME_TOKEN", VARIABLE),
        ],
    )
    .await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let texts = texts(&file);
    let names: Vec<&str> = texts.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "doctor.json",
            "health-parts.json",
            "health.json",
            "log.txt",
            "network.json",
            "settings.json",
            "storage.json",
            "version.json",
        ]
    );
    let document = |name: &str| serde_json::from_str::<Value>(&texts[name]).unwrap();
    assert!(
        document("health.json")["status"].is_string(),
        "{}",
        texts["health.json"]
    );
    assert_eq!(document("storage.json")["objects"], 1);
    assert_eq!(document("settings.json")["private_key"], "(removed)");
    assert!(texts["log.txt"].contains("the node runs"));
    assert!(
        texts["log.txt"].contains("https://hooks.example is away"),
        "{}",
        texts["log.txt"]
    );
    no_secret(&texts, &node.started.api_key);
    assert!(!texts["log.txt"].contains(&hash), "a hash of data");

    let again = bundle(&file, &["--data-dir", data_dir], &[("BLOCKCHAIN_URL", "devnet")]).await;
    assert!(!again.status.success(), "another file is not written over");
}

#[tokio::test]
async fn a_bundle_without_a_node_shows_no_secret_of_its_settings() {
    let home = tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("password"), PASSWORD).unwrap();
    fs::write(path("database-password"), DATABASE_PASSWORD).unwrap();
    fs::write(
        path("credentials"),
        format!("[default]\naws_secret_access_key = {S3_FILE_SECRET}\n"),
    )
    .unwrap();
    let config = format!(
        "node_id = \"reports\"\n\
         blockchain_url = \"http://{URL_USER}:{URL_USER}@127.0.0.1:1/{URL_PATH}\"\n\
         private_key = \"{PRIVATE_KEY}\"\n\
         key_master_password_file = \"{}\"\n\
         catalog_url = \"postgres://node:{DATABASE_PASSWORD}@127.0.0.1:1/catalog\"\n\
         [catalog]\npassword_file = \"{}\"\n\
         [storage]\nobjects_url = \"s3://bucket/node\"\n\
         [storage.s3]\nendpoint = \"https://{URL_USER}@127.0.0.1:1/{URL_PATH}\"\ncredentials_file = \"{}\"\n",
        path("password"),
        path("database-password"),
        path("credentials"),
    );
    fs::write(path("dm-node.toml"), config).unwrap();
    let (file, config, data_dir) = (
        home.path().join("support.tar.gz"),
        path("dm-node.toml"),
        path("node"),
    );
    let env = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", S3_SECRET),
        ("DM_API_KEY", "dm_abc_planted"),
        ("DM_API", "http://127.0.0.1:1"),
        ("DATA_DIR", data_dir.as_str()),
    ];
    let made = bundle(&file, &["--config", &config], &env).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let texts = texts(&file);
    no_secret(&texts, "dm_abc_planted");
    let settings: Value = serde_json::from_str(&texts["settings.json"]).unwrap();
    assert_eq!(settings["node_id"], "reports");
    assert_eq!(settings["storage"]["objects_url"], "s3://bucket");
    assert!(
        texts["health.json"].contains("not_answered"),
        "{}",
        texts["health.json"]
    );
    assert!(
        texts["doctor.json"].contains("127.0.0.1:1 does not answer"),
        "{}",
        texts["doctor.json"]
    );
}

#[tokio::test]
async fn the_secrets_for_sign_in_are_in_no_bundle() {
    let home = tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("oidc"), OIDC_FILE_SECRET).unwrap();
    for (given, secret) in [
        (
            format!("client_secret_file = \"{}\"", path("oidc")),
            OIDC_FILE_SECRET,
        ),
        (format!("client_secret = \"{OIDC_SECRET}\""), OIDC_SECRET),
    ] {
        let config = format!(
            "blockchain_url = \"devnet\"\n\
             [sign_in]\nissuer = \"https://id.example\"\nclient_id = \"node\"\nroles = [\"operators=admin\"]\n{given}\n"
        );
        let texts = bundle_with(home.path(), &config, &format!("the client says {secret} to it")).await;
        assert_ne!(texts["settings.json"].trim(), "null", "the settings are valid");
        assert_eq!(texts["log.txt"], "the client says (removed) to it");
        no_secret(&texts, "dm_abc_planted");
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_gives_no_secret_away() {
    let home = tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("oidc"), OIDC_FILE_SECRET).unwrap();
    for fault in ["p2p_port = \"many\"", "p2p_port = [[["] {
        let config = format!(
            "key_master_password = \"{PASSWORD}\"\n{fault}\n[sign_in]\nclient_secret = '{OIDC_SECRET}'\n\
             client_secret_file = \"{}\"\n[storage.s3]\nsecret_access_key = \"{S3_SECRET}\"\n",
            path("oidc")
        );
        let log = [PASSWORD, OIDC_SECRET, OIDC_FILE_SECRET, S3_SECRET].join(" then ");
        let texts = bundle_with(home.path(), &config, &log).await;
        assert_eq!(texts["settings.json"].trim(), "null", "{fault}");
        assert!(texts["doctor.json"].contains("dm-node.toml") || texts["doctor.json"].contains("p2p_port"));
        assert_eq!(
            texts["log.txt"].matches("(removed)").count(),
            4,
            "{}",
            texts["log.txt"]
        );
        no_secret(&texts, "dm_abc_planted");
    }
}

/// The texts of a bundle without a node, of a configuration and a log.
async fn bundle_with(home: &Path, config: &str, log: &str) -> BTreeMap<String, String> {
    let path = |name: &str| home.join(name).to_str().unwrap().to_owned();
    fs::write(path("dm-node.toml"), config).unwrap();
    fs::write(path("log"), log).unwrap();
    let file = home.join("support.tar.gz");
    let _ = fs::remove_file(&file);
    let data_dir = path("node");
    let env = [
        ("DM_API_KEY", "dm_abc_planted"),
        ("DM_API", "http://127.0.0.1:1"),
        ("DATA_DIR", data_dir.as_str()),
    ];
    let args = ["--config", &path("dm-node.toml"), "--log", &path("log")];
    let made = bundle(&file, &args, &env).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    texts(&file)
}
