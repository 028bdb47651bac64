//! TLS of a whole node, as operators and their tools meet it.

use std::{fs, path::PathBuf, process::Output};

use dm_testing::certificates::{Authority, Issued};
use reqwest::{Certificate, Client};
use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tokio::process::Command;

use crate::support::{Node, NodeSetup, eventually, node::dm_node};

/// A node's home with the files of its TLS.
struct Home {
    dir: TempDir,
    authority: Authority,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            dir: tempdir().unwrap(),
            authority: Authority::new("the authority of the test"),
        };
        home.write("ca.pem", &home.authority.pem());
        home
    }

    /// A home whose certificate is for this machine.
    fn with_certificate() -> Self {
        let home = Self::new();
        home.put(&home.authority.issue(&["localhost", "127.0.0.1"]));
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn put(&self, pair: &Issued) {
        self.write("cert.pem", &pair.cert);
        self.write("key.pem", &pair.key);
    }

    /// A node whose API for clients has TLS.
    fn setup(&self) -> NodeSetup {
        NodeSetup::new(&self.path("node"))
            .env("DM_EXTERNAL_API__TLS__CERT_FILE", &self.text("cert.pem"))
            .env("DM_EXTERNAL_API__TLS__KEY_FILE", &self.text("key.pem"))
    }

    fn client(&self) -> Client {
        client_of(&self.authority)
    }
}

fn client_of(authority: &Authority) -> Client {
    let roots = Certificate::from_pem_bundle(authority.pem().as_bytes()).unwrap();
    Client::builder()
        .tls_certs_only(roots)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

/// The address of the API for clients, without its scheme.
fn address(node: &Node) -> &str {
    node.started.external_api.strip_prefix("https://").unwrap()
}

/// What the certificate's part of health says.
async fn part(node: &Node) -> Value {
    let url = format!("{}/health", node.started.internal_api);
    let answer = reqwest::get(url).await.unwrap();
    answer.json::<Value>().await.unwrap()["parts"]["external_api_tls"].clone()
}

/// What `openssl s_client` says of the server; `None` where there is no openssl.
async fn s_client(node: &Node, args: &[&str], input: &str) -> Option<(bool, String)> {
    let script = format!(
        "printf '{input}' | exec openssl s_client -connect {} \"$@\"",
        address(node)
    );
    if Command::new("openssl").arg("version").output().await.is_err() {
        assert!(
            std::env::var_os("REQUIRE_OPENSSL").is_none(),
            "there is no openssl"
        );
        eprintln!("skipped: there is no openssl");
        return None;
    }
    let output = Command::new("sh").args(["-c", &script, "sh"]).args(args).output();
    let output = output.await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[tokio::test]
async fn openssl_accepts_the_certificate_for_its_host_alone() {
    let home = Home::with_certificate();
    let node = home.setup().start().await;
    let ca = home.text("ca.pem");
    let verify = [
        "-CAfile",
        &ca,
        "-verify_return_error",
        "-alpn",
        "h2,http/1.1",
        "-verify_hostname",
    ];
    let Some((accepted, said)) = s_client(&node, &[&verify[..], &["localhost"]].concat(), "").await else {
        return;
    };
    assert!(accepted && said.contains("Verify return code: 0 (ok)"), "{said}");
    assert!(
        said.contains("TLSv1.3") && said.contains("ALPN protocol: http/1.1"),
        "{said}"
    );
    let another = s_client(&node, &[&verify[..], &["node.example"]].concat(), "").await;
    let (accepted, said) = another.unwrap();
    assert!(!accepted && said.contains("hostname mismatch"), "{said}");
    for old in ["-tls1", "-tls1_1"] {
        let (accepted, said) = s_client(&node, &[old, "-cipher", "ALL:@SECLEVEL=0"], "")
            .await
            .unwrap();
        assert!(!accepted, "{old}: {said}");
    }
}

#[tokio::test]
async fn a_node_that_starts_with_an_expired_certificate_runs_and_says_so() {
    let home = Home::new();
    home.put(&home.authority.issue_expired(&["127.0.0.1"]));
    let node = home.setup().start().await;
    let part = part(&node).await;
    assert_eq!(part["status"], "degraded");
    assert!(part["reason"].as_str().unwrap().contains("has expired"), "{part}");
    let ca = home.text("ca.pem");
    if let Some((accepted, said)) = s_client(&node, &["-CAfile", &ca, "-verify_return_error"], "").await {
        assert!(!accepted && said.contains("certificate has expired"), "{said}");
    }
}

#[tokio::test]
async fn a_client_certificate_opens_what_its_api_key_opens() {
    let home = Home::with_certificate();
    let (setup, _, _) = {
        let node = home.setup().start().await;
        home.write("api-key", &node.started.api_key);
        node.stop().await
    };
    let key = fs::read_to_string(home.path("api-key")).unwrap();
    let id = key.split('_').nth(1).unwrap();
    let ours = home.authority.issue(&["reports"]);
    home.write("client.pem", &format!("{}{}", ours.cert, ours.key));
    let stranger = Authority::new("another").issue(&["reports"]);
    home.write("stranger.pem", &format!("{}{}", stranger.cert, stranger.key));
    let node = setup
        .env("DM_EXTERNAL_API__TLS__CLIENT_CA_FILE", &home.text("ca.pem"))
        .env("DM_EXTERNAL_API__TLS__CLIENT_KEYS", &format!("{id}=cn:reports"))
        .start()
        .await;
    let request = "GET /network/peers HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n";
    let (client, other) = (home.text("client.pem"), home.text("stranger.pem"));
    let Some((_, said)) = s_client(&node, &["-ign_eof", "-cert", &client, "-key", &client], request).await
    else {
        return;
    };
    assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
    let (_, said) = s_client(&node, &["-ign_eof"], request).await.unwrap();
    assert!(said.contains("HTTP/1.1 401 Unauthorized"), "{said}");
    let args = ["-ign_eof", "-cert", &other, "-key", &other];
    let (_, said) = s_client(&node, &args, request).await.unwrap();
    assert!(!said.contains("HTTP/1.1") && said.contains("alert"), "{said}");
}

#[tokio::test]
async fn a_certificate_that_is_replaced_while_the_node_runs_is_served() {
    let home = Home::with_certificate();
    let node = home.setup().start().await;
    let later = Authority::new("a later authority");
    let pair = later.issue(&["127.0.0.1"]);
    let health = format!("{}/health", node.started.external_api);
    // Written as a slow disk would show it: half, then the rest, then the key.
    home.write("cert.pem", &pair.cert[..100]);
    eventually("the half certificate is told of", async || {
        (part(&node).await["status"] == "degraded").then_some(())
    })
    .await;
    assert!(home.client().get(&health).send().await.is_ok());
    home.put(&pair);
    eventually("the new certificate is served", async || {
        client_of(&later).get(&health).send().await.ok()
    })
    .await;
    assert!(home.client().get(&health).send().await.is_err());
    let (_, status, errors) = node.stop().await;
    assert!(status.success(), "{errors}");
    let complaint = "external_api.tls.cert_file";
    assert!(
        errors.contains(complaint) && errors.contains("stays in use"),
        "{errors}"
    );
}

#[tokio::test]
async fn a_wrong_or_missing_file_ends_the_start_with_its_setting() {
    let home = Home::with_certificate();
    let expect = async |setting: &str, reason: &str| {
        let failure = home
            .setup()
            .try_start()
            .await
            .err()
            .expect("the node does not start");
        let lines: Vec<&str> = failure
            .lines()
            .filter(|line| line.starts_with("error:"))
            .collect();
        assert_eq!(lines.len(), 1, "{failure}");
        assert!(
            lines[0].contains(setting) && lines[0].contains(reason),
            "{failure}"
        );
        assert!(!home.path("node").exists(), "nothing was made");
    };
    let other = home.authority.issue(&["localhost"]);
    home.write("key.pem", &other.key);
    expect(
        "external_api.tls.key_file",
        "it is not the key of the certificate",
    )
    .await;
    fs::remove_file(home.path("key.pem")).unwrap();
    expect("external_api.tls.key_file", "No such file").await;
    home.write("key.pem", &other.key);
    home.write("cert.pem", &other.cert[..other.cert.len() - 30]);
    expect("external_api.tls.cert_file", "not whole").await;
    let half = NodeSetup::new(&home.path("node")).env("DM_EXTERNAL_API__TLS__KEY_FILE", "/k.pem");
    let failure = half.try_start().await.err().unwrap();
    assert!(
        failure.contains("external_api.tls.cert_file: must be given together"),
        "{failure}"
    );
}

#[tokio::test]
async fn the_command_line_recognises_a_node_by_the_authority_that_it_is_given() {
    let home = Home::with_certificate();
    let node = home.setup().start().await;
    let (api, ca) = (&node.started.external_api, home.text("ca.pem"));
    let peers = async |args: &[&str], env: &[(&str, &str)]| -> Output {
        let mut command = dm_node();
        command
            .args(["peers", "--api", api])
            .args(args)
            .env("DM_API_KEY", &node.started.api_key)
            .envs(env.iter().copied());
        command.output().await.unwrap()
    };
    let errors = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let answered = peers(&["--ca", &ca], &[]).await;
    assert!(answered.status.success(), "{}", errors(&answered));
    let answered = peers(&[], &[("DM_API_CA", &ca)]).await;
    assert!(answered.status.success(), "{}", errors(&answered));
    let unknown = peers(&[], &[("DM_API_CA", "")]).await;
    assert!(!unknown.status.success());
    assert!(errors(&unknown).contains("certificate"), "{}", errors(&unknown));
    let missing = peers(&["--ca", "/nowhere/ca.pem"], &[]).await;
    assert!(
        errors(&missing).contains("--ca: cannot read /nowhere/ca.pem"),
        "{}",
        errors(&missing)
    );
    let empty = peers(&["--ca", "/dev/null"], &[]).await;
    assert!(
        errors(&empty).contains("holds no whole certificate"),
        "{}",
        errors(&empty)
    );

    // A certificate of the right authority for another host.
    home.put(&home.authority.issue(&["node.example"]));
    eventually("another certificate is served", async || {
        let refused = peers(&["--ca", &ca], &[]).await;
        errors(&refused).contains("not valid for name").then_some(())
    })
    .await;
}
