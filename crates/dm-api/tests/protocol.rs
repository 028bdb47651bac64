//! HTTP as old, careful and sparing clients speak it.

use dm_api::{external_routes, internal_routes};
use reqwest::{Method, header::HeaderMap};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::common::{Answer, NO_DATA, OTHER, RECIPIENT, TestNode, raw, start};

/// The head of an answer without what differs in each.
fn lasting(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["date", "x-request-id", "x-retrieval", "traceparent"] {
        headers.remove(name);
    }
    headers
}

#[actix_web::test]
async fn head_answers_wherever_get_does_with_the_same_head_and_no_body() {
    let node = start().await;
    let shared = node
        .share(&json!({"data": "hello", "recipient": RECIPIENT}))
        .await;
    let hash = shared.body["data_hash"].as_str().unwrap();
    let servers = [
        (&node.internal, internal_routes()),
        (&node.external, external_routes()),
    ];
    for (base, routes) in servers {
        // What HEAD asks of an upload is a question of its own in tus.
        let asked = routes
            .iter()
            .filter(|route| route.method == "GET" && route.path != "/uploads/{id}");
        for route in asked {
            let path = route
                .path
                .replace("{data_hash}", hash)
                .replace("{address}", RECIPIENT)
                .replace("{index}", "0");
            let ask = |method: Method| {
                let request = node.bare(method, &format!("{base}{path}"));
                request.header("X-API-Key", &node.keys.admin).send()
            };
            let get = ask(Method::GET).await.unwrap();
            let head = ask(Method::HEAD).await.unwrap();
            assert_eq!(head.status(), get.status(), "{path}");
            let (mut head_of_head, mut head_of_get) = (lasting(head.headers()), lasting(get.headers()));
            if path == "/api_keys" {
                // It tells how much has passed for the key, which the first answer has changed.
                head_of_head.remove("content-length");
                head_of_get.remove("content-length");
            }
            assert_eq!(head_of_head, head_of_get, "{path}");
            assert!(head.bytes().await.unwrap().is_empty(), "{path}");
        }
    }
}

#[actix_web::test]
async fn head_needs_the_key_that_get_needs() {
    let node = start().await;
    for path in ["/network/stats", "/data/00", "/nothing"] {
        let url = format!("{}{path}", node.external);
        let get = node.bare(Method::GET, &url).send().await.unwrap();
        let head = node.bare(Method::HEAD, &url).send().await.unwrap();
        assert_eq!(head.status(), get.status(), "{path}");
    }
}

#[actix_web::test]
async fn health_is_told_to_whoever_asks_under_whatever_name() {
    let node = start().await;
    for base in [&node.internal, &node.external] {
        for path in ["/health", "/healthz", "/ready", "/livez", "/readyz"] {
            for head in [
                format!("GET {path} HTTP/1.0\r\n\r\n"),
                format!("HEAD {path} HTTP/1.0\r\n\r\n"),
                format!("GET {path} HTTP/1.1\r\nHost: node.internal\r\nConnection: close\r\n\r\n"),
                format!(
                    "GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: http://elsewhere\r\nConnection: close\r\n\r\n"
                ),
            ] {
                let answer = raw::exchange(base, head.as_bytes()).await;
                assert!(answer.contains(" 200 OK\r\n"), "{head}{answer}");
            }
        }
    }
    let other = raw::exchange(&node.internal, b"GET /keys HTTP/1.0\r\n\r\n").await;
    assert!(other.contains(" 403 "), "{other}");
}

#[actix_web::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let node = start().await;
    let hash = node.put(b"hello".to_vec()).await;
    for (base, path, connection, body) in [
        (&node.internal, "/backup".to_owned(), "keep-alive", "one two"),
        (&node.external, format!("/objects/{hash}"), "close", "hello"),
    ] {
        let request = format!(
            "GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: {connection}\r\nX-API-Key: {}\r\n\r\n",
            node.keys.admin
        );
        let answer = raw::exchange(base, request.as_bytes()).await;
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        assert!(head.contains(" 200 ok"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert_eq!(content, body, "the end of the connection is the end of the body");
    }
    let backup = node.internal(Method::GET, "/backup").send().await.unwrap();
    assert_eq!(backup.headers()["transfer-encoding"], "chunked");
}

fn put(key: &str, query: &str, more: &str) -> String {
    format!(
        "PUT /objects?{query} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nExpect: 100-continue\r\n\
         Content-Length: 5\r\n{more}\r\n"
    )
}

/// What comes first for a request whose body waits to be asked for.
async fn first_line(node: &TestNode, head: &str) -> String {
    let mut socket = raw::connect(&node.external).await;
    socket.write_all(head.as_bytes()).await.unwrap();
    raw::read_head(&mut socket)
        .await
        .lines()
        .next()
        .unwrap()
        .to_owned()
}

#[actix_web::test]
async fn a_body_is_asked_for_only_once_its_request_may_pass() {
    let node = start().await;
    let valid = format!("recipient={RECIPIENT}");
    for (key, query, more, status) in [
        ("dm_wrong", &valid, "", "401"),
        (&node.keys.read, &valid, "", "403"),
        (&node.keys.share, &"recipient=nobody".to_owned(), "", "422"),
        (&node.keys.share, &valid, "Content-Encoding: gzip\r\n", "415"),
        (&node.keys.share, &valid, "X-User-Id: alice\r\n", "422"),
    ] {
        let answer = first_line(&node, &put(key, query, more)).await;
        assert!(answer.contains(status), "{answer} instead of {status}");
    }
    let share = format!(
        "POST /share_data HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\
         X-API-Key: {}\r\n\r\n",
        node.keys.share
    );
    assert!(first_line(&node, &share).await.contains("413"));
    assert!(
        first_line(&node, &share.replace("/share_data", "/nothing"))
            .await
            .contains("404")
    );
}

#[actix_web::test]
async fn a_body_that_was_asked_for_arrives() {
    let node = start().await;
    let mut socket = raw::connect(&node.external).await;
    let head = put(&node.keys.share, &format!("recipient={RECIPIENT}"), "");
    for _ in 0..2 {
        socket.write_all(head.as_bytes()).await.unwrap();
        let asked = raw::read_head(&mut socket).await;
        assert_eq!(asked, "HTTP/1.1 100 Continue\r\n\r\n");
        socket.write_all(b"hello").await.unwrap();
        let answer = raw::read_answer(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    let share = json!({"data": "by JSON", "recipient": OTHER}).to_string();
    let request = format!(
        "POST /share_data HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\
         X-API-Key: {}\r\n\r\n",
        share.len(),
        node.keys.share
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    assert!(raw::read_head(&mut socket).await.contains("100 Continue"));
    socket.write_all(share.as_bytes()).await.unwrap();
    assert!(raw::read_answer(&mut socket).await.starts_with("HTTP/1.1 201"));
}

#[actix_web::test]
async fn numbers_and_times_beyond_all_bounds_are_refused_with_their_field() {
    let node = start().await;
    let future = "253402300799999";
    for beyond in ["18446744073709551615", "9223372036854775808", "253402300800000"] {
        let key = format!("{{\"name\": \"n\", \"scopes\": [\"read\"], \"expires_at\": {beyond}}}");
        let answer = Answer::of(node.internal(Method::POST, "/api_keys").body(key)).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &"expires_at".into())
        );
        let share = format!("{{\"data\": \"d\", \"recipient\": \"{RECIPIENT}\", \"expires_at\": {beyond}}}");
        let answer = Answer::of(node.external(Method::POST, "/share_data").body(share)).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &"expires_at".into())
        );
        let path = format!("/objects?recipient={RECIPIENT}&expires_at={beyond}");
        let answer = Answer::of(node.external(Method::PUT, &path).body("data")).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &"expires_at".into())
        );
    }
    let body = json!({"data": "d", "recipient": RECIPIENT, "expires_at": future});
    assert_eq!(node.share(&body).await.status, 201);
    for path in [
        "/compliance_history?cursor=18446744073709551615",
        "/receipts/events/18446744073709551615",
        &format!("/receipts/{NO_DATA}"),
    ] {
        assert!(node.get(path).await.status < 500, "{path}");
    }
    let transfers = node.get_internal("/transfers?cursor=18446744073709551615").await;
    assert_eq!(
        (transfers.status, &transfers.body["field"]),
        (422, &"cursor".into())
    );
}
