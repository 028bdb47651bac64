//! TLS: whole pairs are served and broken ones are not, and clients are known by certificates.

use std::{fs, path::PathBuf};

use dm_api::{ApiServers, ServerError};
use dm_core::{
    api_key::{Rights, Scope},
    config::TlsConfig,
    ports::{ApiKeys, NewApiKeyRequest},
};
use dm_testing::{
    certificates::{Authority, Issued},
    waiting::eventually,
};
use reqwest::{Certificate, Client, ClientBuilder, Identity, tls::Version};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{RECIPIENT, TestConfig, TestNode, raw, start_with};

/// The host of the servers under test.
const HOST: &str = "127.0.0.1";

/// The files of a server.
struct Files {
    dir: TempDir,
}

impl Files {
    fn with(pair: &Issued) -> Self {
        let files = Self {
            dir: TempDir::new().unwrap(),
        };
        files.put(pair);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, pair: &Issued) {
        self.write("cert.pem", &pair.cert);
        self.write("key.pem", &pair.key);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn config(&self) -> TlsConfig {
        TlsConfig {
            cert_file: Some(self.path("cert.pem")),
            key_file: Some(self.path("key.pem")),
            ..TlsConfig::default()
        }
    }

    async fn start(&self) -> TestNode {
        let mut setup = TestConfig::default();
        setup.external.tls = self.config();
        setup.dashboard.tls = self.config();
        start_with(setup).await
    }
}

/// A client that trusts one authority, and makes a connection for each request.
fn client(authority: &Authority) -> ClientBuilder {
    let roots = Certificate::from_pem_bundle(authority.pem().as_bytes()).unwrap();
    Client::builder()
        .tls_certs_only(roots)
        .no_proxy()
        .pool_max_idle_per_host(0)
}

fn identity(pair: &Issued) -> Identity {
    Identity::from_pem(format!("{}{}", pair.cert, pair.key).as_bytes()).unwrap()
}

async fn status(client: &Client, node: &TestNode, path: &str) -> Result<u16, reqwest::Error> {
    let answer = client.get(format!("{}{path}", node.external)).send().await;
    answer.map(|answer| answer.status().as_u16())
}

/// How the certificate of the API for clients is, as the API for operators tells.
async fn part(node: &TestNode) -> Value {
    node.get_internal("/health").await.body["parts"]["external_api_tls"].clone()
}

#[actix_web::test]
async fn an_api_with_a_certificate_is_served_over_tls_alone() {
    let authority = Authority::new("ours");
    let files = Files::with(&authority.issue(&[HOST]));
    let node = files.start().await;
    assert!(node.external.starts_with("https://"), "{}", node.external);
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        let client = client(&authority)
            .tls_version_min(version)
            .tls_version_max(version)
            .build()
            .unwrap();
        assert_eq!(status(&client, &node, "/health").await.unwrap(), 200);
        assert_eq!(status(&client, &node, "/network/peers").await.unwrap(), 401);
    }
    let stranger = client(&Authority::new("another")).build().unwrap();
    assert!(status(&stranger, &node, "/health").await.is_err());
    let address = node.external.replace("https://", "http://");
    let answer = raw::exchange(&address, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    assert_eq!(part(&node).await["status"], "healthy");
}

#[actix_web::test]
async fn the_cookie_of_a_console_with_a_certificate_is_for_encrypted_connections_alone() {
    let authority = Authority::new("ours");
    let node = Files::with(&authority.issue(&[HOST])).start().await;
    let client = client(&authority).build().unwrap();
    let request = client.post(format!("{}/api/session", node.console));
    let request = request
        .header("Origin", &node.console)
        .json(&serde_json::json!({"api_key": node.keys.read}));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
}

#[actix_web::test]
async fn a_replaced_certificate_is_served_without_a_restart_and_a_broken_one_is_not() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::with(&old.issue(&[HOST]));
    let node = files.start().await;
    let (of_old, of_new) = (client(&old).build().unwrap(), client(&new).build().unwrap());
    let next = new.issue(&[HOST]);

    // Half of the certificate, and then a certificate without its key.
    files.write("cert.pem", &next.cert[..next.cert.len() / 2]);
    expect_complaint(&node, "it holds a certificate that is not whole").await;
    files.write("cert.pem", &next.cert);
    expect_complaint(&node, "it is not the key of the certificate").await;
    files.write("key.pem", &next.key[..next.key.len() / 2]);
    expect_complaint(&node, "it holds no whole private key").await;
    fs::remove_file(files.path("key.pem")).unwrap();
    expect_complaint(&node, "it cannot be read").await;
    assert_eq!(status(&of_old, &node, "/health").await.unwrap(), 200);
    assert!(status(&of_new, &node, "/health").await.is_err());

    files.write("key.pem", &next.key);
    eventually("the new certificate is served", async || {
        status(&of_new, &node, "/health").await.ok()
    })
    .await;
    assert!(status(&of_old, &node, "/health").await.is_err());
    eventually("the part is healthy again", async || {
        (part(&node).await["status"] == "healthy").then_some(())
    })
    .await;
}

async fn expect_complaint(node: &TestNode, expected: &str) {
    eventually(expected, async || {
        let part = part(node).await;
        let reason = part["reason"].as_str().unwrap_or_default();
        (part["status"] == "degraded" && reason.contains(expected)).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn an_expired_certificate_is_served_and_said_to_be_one() {
    let authority = Authority::new("ours");
    let files = Files::with(&authority.issue_expired(&[HOST]));
    let node = files.start().await;
    let part = part(&node).await;
    assert_eq!(part["status"], "degraded");
    assert!(part["reason"].as_str().unwrap().contains("has expired"), "{part}");
    let client = client(&authority).build().unwrap();
    assert!(status(&client, &node, "/health").await.is_err());
}

#[actix_web::test]
async fn a_client_certificate_stands_for_its_api_key() {
    let (ours, others) = (Authority::new("clients"), Authority::new("others"));
    let server = Authority::new("ours");
    let files = Files::with(&server.issue(&[HOST]));
    files.write("clients.pem", &ours.pem());
    let mut setup = TestConfig::default();
    let key = setup
        .api_keys_before
        .create(NewApiKeyRequest {
            name: "reports".to_owned(),
            rights: std::sync::Arc::new(Rights::of([Scope::Read])),
            expires_at: None,
        })
        .await
        .unwrap();
    let id = &key.record.id;
    let (pinned, unnamed) = (ours.issue(&["pinned"]), ours.issue(&["unnamed"]));
    setup.external.tls = TlsConfig {
        client_ca_file: Some(files.path("clients.pem")),
        client_keys: vec![
            format!("{id}=cn:reports"),
            format!("{id}=sha256:{}", pinned.fingerprint),
            "gone=cn:gone".to_owned(),
        ],
        ..files.config()
    };
    let node = start_with(setup).await;
    let with = |pair: &Issued| client(&server).identity(identity(pair)).build().unwrap();

    let (named, pinned) = (with(&ours.issue(&["reports"])), with(&pinned));
    for client in [&named, &pinned] {
        assert_eq!(status(client, &node, "/network/peers").await.unwrap(), 200);
        // Its key has no other scope.
        assert_eq!(status(client, &node, "/api_keys").await.unwrap(), 404);
        let share = client.post(format!("{}/share_data", node.external)).body("{}");
        assert_eq!(share.send().await.unwrap().status(), 403);
    }
    // A key in the request counts, and not the certificate.
    let wrong = named
        .get(format!("{}/network/peers", node.external))
        .header("X-API-Key", "dm_x_y");
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    for pair in [unnamed, ours.issue(&["gone"])] {
        assert_eq!(status(&with(&pair), &node, "/network/peers").await.unwrap(), 401);
    }
    let bare = client(&server).build().unwrap();
    assert_eq!(status(&bare, &node, "/network/peers").await.unwrap(), 401);
    // The name alone is worth nothing, nor is a certificate that has ended.
    let forged = with(&others.issue(&["reports"]));
    assert!(status(&forged, &node, "/network/peers").await.is_err());
    let expired = with(&ours.issue_expired(&["reports"]));
    assert!(status(&expired, &node, "/network/peers").await.is_err());

    node.api_keys.revoke(id).await.unwrap();
    assert_eq!(status(&named, &node, "/network/peers").await.unwrap(), 401);

    // Another authority is taken without a restart, and the first one is not any more.
    files.write("clients.pem", &others.pem());
    eventually("the other authority is accepted", async || {
        status(&forged, &node, "/network/peers").await.ok()
    })
    .await;
    assert!(status(&named, &node, "/network/peers").await.is_err());
}

#[actix_web::test]
async fn a_foreign_page_changes_nothing_with_the_certificate_of_a_browser() {
    let (server, clients) = (Authority::new("ours"), Authority::new("clients"));
    let files = Files::with(&server.issue(&[HOST]));
    files.write("clients.pem", &clients.pem());
    let mut setup = TestConfig::default();
    let key = setup
        .api_keys_before
        .create(NewApiKeyRequest {
            name: "person".to_owned(),
            rights: std::sync::Arc::new(Rights::of([Scope::Share, Scope::Read])),
            expires_at: None,
        })
        .await
        .unwrap();
    setup.external.tls = TlsConfig {
        client_ca_file: Some(files.path("clients.pem")),
        client_keys: vec![format!("{}=cn:person", key.record.id)],
        ..files.config()
    };
    let node = start_with(setup).await;
    let browser = client(&server)
        .identity(identity(&clients.issue(&["person"])))
        .build()
        .unwrap();
    let body = serde_json::json!({"data": "made by a page", "recipient": RECIPIENT});
    let share = |headers: &[(&str, &str)]| {
        // The type of a simple request, which no browser asks about first.
        let request = browser
            .post(format!("{}/share_data", node.external))
            .header("Content-Type", "text/plain")
            .body(body.to_string());
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        async { request.send().await.unwrap().status().as_u16() }
    };
    for foreign in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        assert_eq!(share(&[foreign]).await, 403, "{foreign:?}");
    }
    // What a page can show of a key is its own.
    let with_key = [
        ("Origin", "https://evil.example"),
        ("X-API-Key", key.key.as_str()),
    ];
    assert_eq!(share(&with_key).await, 201);
    assert_eq!(share(&[("Origin", &node.external)]).await, 201);
    assert_eq!(share(&[]).await, 201);
    let read = browser.get(format!("{}/network/peers", node.external));
    let read = read.header("Sec-Fetch-Site", "cross-site").send().await;
    assert_eq!(read.unwrap().status(), 200);
}

#[actix_web::test]
async fn a_server_does_not_start_with_files_that_are_no_pair() {
    let authority = Authority::new("ours");
    let (pair, other) = (authority.issue(&[HOST]), authority.issue(&[HOST]));
    let fault = |files: &Files| {
        let mut setup = TestConfig::default();
        setup.internal.tls = files.config();
        match ApiServers::bind(&setup.internal, &setup.external, setup.uploads) {
            Err(ServerError::Tls(fault)) => fault.to_string(),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("the server starts"),
        }
    };
    let files = Files::with(&pair);
    files.write("key.pem", &other.key);
    assert!(
        fault(&files).starts_with("internal_api.tls.key_file: "),
        "{}",
        fault(&files)
    );
    files.write("key.pem", "");
    assert!(
        fault(&files).starts_with("internal_api.tls.key_file: "),
        "{}",
        fault(&files)
    );
    files.put(&pair);
    for text in ["", "nonsense", &pair.key] {
        files.write("cert.pem", text);
        assert!(
            fault(&files).starts_with("internal_api.tls.cert_file: "),
            "{}",
            fault(&files)
        );
    }
    fs::remove_file(files.path("cert.pem")).unwrap();
    assert!(fault(&files).contains("it cannot be read"), "{}", fault(&files));
}
