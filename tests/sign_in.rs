//! People with an account of their company. `crates/dm-console/web/tests/sign_in.test.mjs` has them
//! sign in with a browser at a real identity provider; `crates/dm-oidc/tests` has all tokens that
//! do not count.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dm_testing::waiting::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::{
    log::lines_of,
    support::{Node, NodeSetup, SOMEBODY, http::answer, node::dm_node},
};

const AUDIENCE: &str = "https://node.example.org";

/// An identity provider that publishes one key and signs tokens with it.
struct Company {
    url: String,
    key: EcdsaKeyPair,
    /// It closes each connection without an answer.
    is_away: Arc<AtomicBool>,
}

impl Company {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": "a",
            "x": encoded(&point[1..33]), "y": encoded(&point[33..]),
        });
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string();
        let documents = Arc::new((discovery, json!({ "keys": [jwk] }).to_string()));
        let is_away: Arc<AtomicBool> = Arc::default();
        let knows = is_away.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if !knows.load(Ordering::Relaxed) {
                    tokio::spawn(serve(stream, documents.clone()));
                }
            }
        });
        Self { url, key, is_away }
    }

    fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    fn token(&self, subject: &str, role: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let head = json!({"alg": "ES256", "kid": "a", "typ": "at+jwt"});
        let claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": subject, "exp": now + 3600,
            "realm_access": {"roles": [role]},
        });
        let part = |value: &Value| encoded(value.to_string().as_bytes());
        let message = format!("{}.{}", part(&head), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encoded(signature.as_ref()))
    }

    fn settings(&self, setup: NodeSetup) -> NodeSetup {
        setup
            .env("DM_SIGN_IN__ISSUER", &self.url)
            .env("DM_SIGN_IN__AUDIENCE", AUDIENCE)
            .env("DM_SIGN_IN__ROLES_CLAIM", "realm_access.roles")
            .env("DM_SIGN_IN__ROLES", "operators=admin, clerks=share, clerks=read")
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn serve(mut stream: TcpStream, documents: Arc<(String, String)>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let (discovery, keys) = &*documents;
    let body = if request.starts_with(b"GET /keys ") {
        keys
    } else {
        discovery
    };
    let length = body.len();
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let _ = stream.write_all(text.as_bytes()).await;
}

async fn with_token(
    node: &Node,
    token: &str,
    method: Method,
    path: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let api = match path.starts_with("/api_keys") {
        true => &node.started.internal_api,
        false => &node.started.external_api,
    };
    let request = reqwest::Client::new().request(method, format!("{api}{path}"));
    answer(request.bearer_auth(token).json(body)).await
}

#[tokio::test]
async fn a_token_of_the_company_opens_what_its_role_opens() {
    let company = Company::start().await;
    let home = tempdir().unwrap();
    let node = company.settings(NodeSetup::new(home.path())).start().await;
    let clerk = company.token("ann", "clerks");
    let share = json!({"data": "hello", "recipient": SOMEBODY});
    let (status, shared) = with_token(&node, &clerk, Method::POST, "/share_data", &share).await;
    assert!(status.is_success(), "{status} {shared}");
    let (status, _) = with_token(&node, &clerk, Method::GET, "/api_keys", &json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let boss = company.token("bob", "operators");
    let (status, _) = with_token(&node, &boss, Method::GET, "/api_keys", &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let nobody = company.token("eve", "guests");
    let (status, _) = with_token(&node, &nobody, Method::GET, "/shares", &json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let another = Company::start().await.token("ann", "operators");
    let (status, _) = with_token(&node, &another, Method::GET, "/shares", &json!({})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    // Who has shared stands among the events.
    let act = eventually("the act is kept", async || {
        let (_, events) = node.get("/events?topics=person.acted").await;
        events["events"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(act["type"], "datamgmt.person.acted");
    assert_eq!(
        (&act["data"]["subject"], &act["data"]["path"]),
        (&json!("ann"), &json!("/share_data"))
    );
}

#[tokio::test]
async fn a_provider_that_is_away_keeps_no_node_from_starting() {
    let company = Company::start().await;
    let home = tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let node = company
        .settings(NodeSetup::new(home.path()))
        .env("DM_SIGN_IN__ISSUER", &format!("http://{address}"))
        .start()
        .await;
    let token = company.token("ann", "clerks");
    let (status, body) = with_token(&node, &token, Method::GET, "/shares", &json!({})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    let (status, _) = node.get("/shares").await;
    assert_eq!(status, StatusCode::OK, "API keys count as ever");
}

#[tokio::test]
async fn health_tells_while_the_provider_cannot_be_asked_and_not_afterwards() {
    let company = Company::start().await;
    company.set_away(true);
    let home = tempdir().unwrap();
    let node = company.settings(NodeSetup::new(home.path())).start().await;
    let part = async |status: &str| {
        eventually(&format!("the part sign_in is {status}"), async || {
            let (_, health) = answer(node.internal(Method::GET, "/health")).await;
            let part = &health["parts"]["sign_in"];
            (part["status"] == status).then(|| part.clone())
        })
        .await
    };
    let trouble = part("degraded").await;
    let told = |field: &str, text: &str| trouble[field].as_str().unwrap().contains(text);
    assert!(told("reason", &company.url), "{trouble}");
    assert!(told("action", "sign_in.issuer"), "{trouble}");
    assert!(trouble["since"].is_u64(), "{trouble}");
    company.set_away(false);
    let well = part("healthy").await;
    assert!(well["reason"].is_null(), "{well}");
}

#[tokio::test]
async fn settings_that_would_let_the_wrong_ones_in_end_the_start() {
    let home = tempdir().unwrap();
    for (change, fault) in [
        (
            ("DM_SIGN_IN__ISSUER", "http://login.example.org"),
            "sign_in.issuer",
        ),
        (("DM_SIGN_IN__ROLES", "operators=everything"), "sign_in.roles"),
        (("DM_SIGN_IN__CLIENT_ID", AUDIENCE), "sign_in.audience"),
        (
            ("DM_SIGN_IN__CLIENT_SECRET_FILE", "/no/such/file"),
            "sign_in.client_secret_file",
        ),
    ] {
        let mut command: Command = dm_node();
        let output = command
            .args(["dev", "--json", "--data-dir"])
            .arg(home.path().join("node"))
            .env("DM_SIGN_IN__ISSUER", "https://login.example.org")
            .env("DM_SIGN_IN__AUDIENCE", AUDIENCE)
            .env("DM_SIGN_IN__ROLES", "operators=admin")
            .env(change.0, change.1)
            .output()
            .await
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && told.contains(fault),
            "{fault}: {told}"
        );
        assert!(!home.path().join("node").exists(), "nothing is left");
    }
}

#[tokio::test]
async fn what_a_person_changes_has_a_line_in_the_log_with_the_person() {
    let company = Company::start().await;
    let home = tempdir().unwrap();
    let setup = NodeSetup::new(home.path())
        .env("DM_LOG__FILTER", "info")
        .env("DM_LOG__FORMAT", "json");
    let node = company.settings(setup).start().await;
    let clerk = company.token("ann", "clerks");
    let share = json!({"data": "hello", "recipient": SOMEBODY});
    let (shared_status, shared) = with_token(&node, &clerk, Method::POST, "/share_data", &share).await;
    assert!(shared_status.is_success(), "{shared_status} {shared}");
    // A person gives no right that ends later than the token does.
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() + 600_000;
    let soon = u64::try_from(soon).unwrap();
    let key = json!({"name": "reports", "scopes": ["read"], "expires_at": soon});
    let (status, _) = with_token(&node, &clerk, Method::POST, "/api_keys", &key).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = with_token(&node, &clerk, Method::GET, "/network/peers", &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let boss = company.token("bob", "operators");
    let (made_status, made) = with_token(&node, &boss, Method::POST, "/api_keys", &key).await;
    assert!(made_status.is_success(), "{made_status} {made}");
    let lines = lines_of(node).await;
    let acts: Vec<Value> = lines
        .iter()
        .filter(|line| line["message"] == "a person has acted")
        .map(|line| {
            assert_eq!(line["level"], "INFO", "{line}");
            assert!(
                line["request"].as_str().is_some_and(|id| !id.is_empty()),
                "{line}"
            );
            json!([line["subject"], line["method"], line["path"], line["status"]])
        })
        .collect();
    assert_eq!(
        acts,
        [
            json!(["ann", "POST", "/share_data", shared_status.as_u16()]),
            json!(["bob", "POST", "/api_keys", made_status.as_u16()])
        ],
        "who only reads, and who is not let through, has not acted"
    );
}
