//! The lines that a node writes for its operators.

use std::fs;

use dm_testing::certificates::Authority;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Duration, timeout},
};

use crate::support::{Node, NodeSetup, SOMEBODY, http::answer};

/// How long an answer to rubbish is read: there need not be one.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);
/// What no server understands.
const RUBBISH: [&[u8]; 11] = [
    b"\0\0\0\0\r\n\r\n",
    b"GET /health HTTP/1.1\r\nbad header\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\n\x01\xff: b\r\n\r\n",
    b"GET /health HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /share_data HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /share_data HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    b"POST /share_data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    b"POST /share_data HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"data\"",
    b"GET /%ff%fe%00?a=%zz HTTP/1.1\r\nHost: a\r\nX-Request-Id: \xff\r\n\r\n",
];
/// Frames that no WebSocket allows: of a kind that there is not, unmasked, without end, no UTF-8,
/// a piece of nothing, in pieces though it is a ping, and a text that asks for nothing.
const BAD_FRAMES: [&[u8]; 7] = [
    b"\x83\x80\0\0\0\0",
    b"\x81\x01a",
    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
    b"\x81\x82\0\0\0\0\xff\xfe",
    b"\x80\x81\0\0\0\0a",
    b"\x09\x81\0\0\0\0a",
    b"\x81\x81\0\0\0\0{",
];

/// The lines of a node that has stopped; each is one object.
pub(crate) async fn lines_of(node: Node) -> Vec<Value> {
    let (_, _, log) = node.stop().await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    assert!(!lines.is_empty());
    lines
}

#[tokio::test]
async fn no_client_can_write_a_line_at_error() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_LOG__FILTER", "info")
        .env("DM_LOG__FORMAT", "json")
        .env("DM_METRICS__LISTEN", "127.0.0.1:0")
        .start()
        .await;
    let long = format!("GET /health HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let console = node.started.console.as_deref().unwrap();
    let servers = [
        node.started.external_api.as_str(),
        node.started.internal_api.as_str(),
        node.started.metrics.as_deref().unwrap(),
        console,
    ];
    for server in servers {
        for bytes in RUBBISH.into_iter().chain([long.as_bytes()]) {
            say(server, &[bytes]).await;
        }
    }
    let key = json!({"api_key": node.started.api_key});
    let signed_in = reqwest::Client::new()
        .post(format!("{console}/api/session"))
        .json(&key);
    let signed_in = signed_in.send().await.unwrap();
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        host_of(console),
        cookie.split(';').next().unwrap()
    );
    for frame in BAD_FRAMES {
        let answered = say(console, &[upgrade.as_bytes(), frame]).await;
        assert!(
            answered.starts_with(b"HTTP/1.1 101"),
            "the WebSocket is open before"
        );
    }
    node.must_share("something afterwards", SOMEBODY).await;
    no_errors(&lines_of(node).await);
}

#[tokio::test]
async fn no_client_of_a_server_with_tls_can_write_a_line_at_error() {
    let home = tempdir().unwrap();
    let pair = Authority::new("ours").issue(&["127.0.0.1"]);
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("cert.pem"), &pair.cert).unwrap();
    fs::write(path("key.pem"), &pair.key).unwrap();
    let mut setup = NodeSetup::new(&home.path().join("node"))
        .env("DM_LOG__FILTER", "info")
        .env("DM_LOG__FORMAT", "json");
    for api in ["INTERNAL_API", "EXTERNAL_API", "DASHBOARD_API"] {
        setup = setup
            .env(&format!("DM_{api}__TLS__CERT_FILE"), &path("cert.pem"))
            .env(&format!("DM_{api}__TLS__KEY_FILE"), &path("key.pem"));
    }
    let node = setup.start().await;
    let servers = [
        node.started.external_api.as_str(),
        node.started.internal_api.as_str(),
        node.started.console.as_deref().unwrap(),
    ];
    // A greeting of TLS that breaks off, one of nonsense, one of a version that there is not, and
    // an alert.
    let of_tls: [&[u8]; 4] = [
        b"\x16\x03\x01\x00\x05\x01\x00\x00",
        b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff",
        b"\x16\x09\x09\x00\x05\x01\x00\x00\x01\x00",
        b"\x15\x03\x03\x00\x02\x02\x28",
    ];
    for server in servers {
        assert!(server.starts_with("https://"), "{server}");
        for bytes in RUBBISH.into_iter().chain(of_tls) {
            say(server, &[bytes]).await;
        }
    }
    no_errors(&lines_of(node).await);
}

fn host_of(server: &str) -> &str {
    let (_, address) = server.split_once("://").unwrap();
    address.trim_end_matches("/metrics")
}

/// What a server answers to each of these in turn, as far as it does.
async fn say(server: &str, texts: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host_of(server)).await.unwrap();
    let mut answered = Vec::new();
    for text in texts {
        // A server that has seen enough closes.
        let _ = stream.write_all(text).await;
        let _ = timeout(ANSWER_PATIENCE, stream.read_to_end(&mut answered)).await;
    }
    answered
}

fn no_errors(lines: &[Value]) {
    let errors: Vec<&Value> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test]
async fn a_share_has_one_line_at_info_with_the_ids_of_its_request_and_its_trace() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_LOG__FILTER", "info,dm_api=debug")
        .env("DM_LOG__FORMAT", "json")
        .start()
        .await;
    let body = json!({"data": "told once", "recipient": SOMEBODY});
    let request = node
        .request(Method::POST, "/share_data")
        .header("X-Request-Id", "my-request-7")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    let (status, _) = answer(request.json(&body)).await;
    assert!(status.is_success());
    let lines = lines_of(node).await;
    for line in &lines {
        let is_ours = line["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("dm_"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(
                line[field].is_string() || (field == "message" && !is_ours),
                "no {field}: {line}"
            );
        }
    }
    let of_request = |line: &&Value| {
        let spans = line["spans"].as_array();
        spans.is_some_and(|spans| {
            spans.iter().any(|span| {
                (&span["id"], &span["trace_id"])
                    == (&json!("my-request-7"), &json!("0af7651916cd43dd8448eb211c80319c"))
            })
        })
    };
    let told: Vec<&Value> = lines.iter().filter(|line| line["message"] == "shared").collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["level"], "INFO");
    assert!(of_request(&told[0]), "{}", told[0]);
    let has_client = |span: &Value| span["client"].is_string() && span["client_name"] == "dev";
    let spans = told[0]["spans"].as_array().unwrap();
    assert!(spans.iter().any(has_client), "{}", told[0]);
    let answered: Vec<&Value> = lines
        .iter()
        .filter(of_request)
        .filter(|line| line["message"] == "request answered")
        .collect();
    assert_eq!(answered.len(), 1, "{answered:#?}");
    assert_eq!(answered[0]["level"], "DEBUG");
    assert_eq!(answered[0]["span"]["route"], "/share_data");
}

#[tokio::test]
async fn a_change_that_is_asked_for_with_a_key_has_a_line_with_its_name() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_LOG__FILTER", "info")
        .env("DM_LOG__FORMAT", "json")
        .start()
        .await;
    let contact = json!({"address": SOMEBODY, "trust": "accept"});
    let put = node.internal(Method::PUT, "/contacts/acme").json(&contact);
    assert!(answer(put).await.0.is_success());
    let grants = |hash: &str| format!("/data/{hash}/grants");
    let hash = node.must_share("read by two", SOMEBODY).await;
    let reader = json!({"recipient": format!("0x{}", "cd".repeat(20))});
    let grant = node.request(Method::POST, &grants(&hash)).json(&reader);
    let (status, granted) = answer(grant).await;
    assert!(status.is_success(), "{granted}");
    let lines = lines_of(node).await;
    let acts: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "the bearer of an API key has acted")
        .map(|line| (&line["name"], &line["method"], &line["path"], &line["level"]))
        .collect();
    let (name, info) = (json!("dev"), json!("INFO"));
    let (put, post) = (json!("PUT"), json!("POST"));
    let (contact, grants) = (json!("/contacts/acme"), json!(grants(&hash)));
    assert_eq!(
        acts,
        [(&name, &put, &contact, &info), (&name, &post, &grants, &info)],
        "a share has a line of its own"
    );
}
