//! The lines that a node writes for its operators.

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

/// The lines of a node that has stopped; each is one object.
async fn lines_of(node: Node) -> Vec<Value> {
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
    let rubbish: [&[u8]; 12] = [
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
        long.as_bytes(),
    ];
    let servers = [
        node.started.external_api.as_str(),
        node.started.internal_api.as_str(),
        node.started.metrics.as_deref().unwrap(),
    ];
    for server in servers {
        let address = server
            .strip_prefix("http://")
            .unwrap()
            .trim_end_matches("/metrics");
        for bytes in rubbish {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // A server that has seen enough closes.
            let _ = stream.write_all(bytes).await;
            let mut answered = Vec::new();
            let _ = timeout(ANSWER_PATIENCE, stream.read_to_end(&mut answered)).await;
        }
    }
    node.must_share("something afterwards", SOMEBODY).await;
    let errors: Vec<Value> = lines_of(node)
        .await
        .into_iter()
        .filter(|line| line["level"] == "ERROR")
        .collect();
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
