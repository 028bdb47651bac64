//! The console: its page, sign-in, both APIs below `/api`, and the WebSocket.

mod sockets;

use dm_core::ports::ApiKeys;
use dm_testing::waiting::eventually;
use futures::StreamExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::common::{Answer, RECIPIENT, TestConfig, TestNode, start, start_with};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A browser that is signed in.
struct Browser<'a> {
    node: &'a TestNode,
    cookie: String,
    csrf_token: String,
}

impl<'a> Browser<'a> {
    async fn sign_in(node: &'a TestNode, api_key: &str) -> Self {
        let answer = sign_in(node, api_key).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let cookie = answer.header("set-cookie");
        Self {
            node,
            cookie: cookie.split(';').next().unwrap().to_owned(),
            csrf_token: answer.body["csrf_token"].as_str().unwrap().to_owned(),
        }
    }

    fn without_token(&self, method: Method, path: &str) -> RequestBuilder {
        self.node
            .bare(method, &format!("{}{path}", self.node.console))
            .header("Cookie", &self.cookie)
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.without_token(Method::GET, path)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.without_token(method, path)
            .header("X-CSRF-Token", &self.csrf_token)
    }

    async fn socket(&self, query: &str) -> Result<Socket, tungstenite::Error> {
        let mut request = format!("{}/ws{query}", self.node.console.replace("http", "ws"))
            .into_client_request()
            .unwrap();
        let cookie = HeaderValue::from_str(&self.cookie).unwrap();
        request.headers_mut().insert("cookie", cookie);
        connect_async(request).await.map(|(socket, _)| socket)
    }
}

async fn sign_in(node: &TestNode, api_key: &str) -> Answer {
    let request = node.bare(Method::POST, &format!("{}/api/session", node.console));
    Answer::of(request.json(&json!({"api_key": api_key}))).await
}

/// The next message that is text and nothing that the node tells every few seconds.
async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        let message = next_of_all(socket).await?;
        let kind = message["type"].as_str().unwrap_or_default();
        if !matches!(kind, "health.update" | "network.stats_update") {
            return Some(message);
        }
    }
}

/// The next message that is text.
async fn next_of_all(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

#[actix_web::test]
async fn a_browser_that_is_signed_in_calls_both_apis_without_its_key() {
    let node = start().await;
    let browser = Browser::sign_in(&node, &node.keys.admin).await;
    for path in ["/api/tokens", "/api/shares", "/api/network/stats", "/api/session"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    let share = json!({"data": "hello", "recipient": RECIPIENT});
    let answer = Answer::of(browser.request(Method::POST, "/api/share_data").json(&share)).await;
    assert_eq!(answer.body["success"], true, "{:?}", answer.body);
    let health = browser.get("/api/health").await;
    assert!(health.body["components"].is_object(), "{:?}", health.body);
    let session = browser.get("/api/session").await.body;
    assert_eq!(session["scopes"], json!(["share", "read", "admin"]));
    let info = browser.get("/api/dashboard/info").await.body;
    assert_eq!(
        (&info["node_id"], &info["websocket_clients"]),
        (&json!("test"), &json!(0))
    );
    let port = node.console.rsplit(':').next().unwrap();
    assert_eq!(info["ports"]["dashboard"].to_string(), port);
    let missing = browser.get("/api/nothing").await;
    missing.is_error(404, "Not found", None);
}

#[actix_web::test]
async fn a_session_has_the_rights_of_its_key_and_no_more() {
    let node = start().await;
    let browser = Browser::sign_in(&node, &node.keys.read).await;
    assert_eq!(browser.get("/api/shares").await.status, 200);
    let share = json!({"data": "hello", "recipient": RECIPIENT});
    let answer = Answer::of(browser.request(Method::POST, "/api/share_data").json(&share)).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body["error"].as_str().unwrap().contains("scope `share`"));
}

#[actix_web::test]
async fn how_the_node_was_is_told_from_its_start_on() {
    let node = start().await;
    let browser = Browser::sign_in(&node, &node.keys.read).await;
    let samples = eventually("there is a sample", async || {
        let answer = browser.get("/api/dashboard/trend").await;
        let samples = answer.body["samples"].as_array().unwrap().clone();
        (!samples.is_empty()).then_some(samples)
    });
    let sample = samples.await[0].clone();
    assert!(sample["at"].as_u64().unwrap() > 1_700_000_000_000, "{sample}");
    assert!(sample["health"].is_string(), "{sample}");
    for count in [
        "peers",
        "sent",
        "received",
        "objects",
        "own_bytes",
        "foreign_bytes",
    ] {
        assert!(sample[count].is_u64(), "{count}: {sample}");
    }
}

#[actix_web::test]
async fn administrators_see_the_settings_and_where_each_comes_from() {
    let node = start().await;
    let admin = Browser::sign_in(&node, &node.keys.admin).await;
    let answer = admin.get("/api/dashboard/settings").await;
    let port = json!({"name": "p2p_port", "value": 9000, "from": "environment", "place": "P2P_PORT"});
    assert_eq!(answer.body, json!({"settings": [port]}));
    let reader = Browser::sign_in(&node, &node.keys.read).await;
    assert_eq!(reader.get("/api/dashboard/settings").await.status, 403);
}

#[actix_web::test]
async fn nobody_gets_in_without_a_valid_key() {
    let node = start().await;
    for key in ["", "dm_0_0", "x\u{e9}"] {
        let answer = sign_in(&node, key).await;
        assert_eq!(answer.status, 401, "{key}");
        assert!(answer.headers.get("set-cookie").is_none());
    }
    let url = format!("{}/api/shares", node.console);
    for cookie in [
        "dm_session=",
        "dm_session=00",
        "dm_session=0; dm_session=1",
        "other=1",
    ] {
        let answer = Answer::of(node.bare(Method::GET, &url).header("Cookie", cookie)).await;
        assert_eq!(answer.status, 401, "{cookie}");
    }
    let body = node.bare(Method::POST, &format!("{}/api/session", node.console));
    assert_eq!(Answer::of(body.body("{")).await.status, 422);
}

#[actix_web::test]
async fn a_sign_in_always_opens_a_new_session() {
    let node = start().await;
    let fixed = "dm_session=0000000000000000000000000000000000000000000000000000000000000000";
    let request = node.bare(Method::POST, &format!("{}/api/session", node.console));
    let request = request
        .header("Cookie", fixed)
        .json(&json!({"api_key": node.keys.read}));
    let answer = Answer::of(request).await;
    let cookie = answer.header("set-cookie");
    assert!(!cookie.starts_with(fixed), "{cookie}");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    assert!(!cookie.contains(&node.keys.read), "{cookie}");
}

#[actix_web::test]
async fn behind_a_proxy_that_encrypts_the_cookie_is_for_encrypted_connections_alone() {
    let mut config = TestConfig::default();
    config.dashboard.trusted_proxies = vec![[127, 0, 0, 1].into()];
    for (node, is_secure) in [(start_with(config).await, true), (start().await, false)] {
        let request = node.bare(Method::POST, &format!("{}/api/session", node.console));
        let request = request.header("X-Forwarded-Proto", "https");
        let answer = Answer::of(request.json(&json!({"api_key": node.keys.read}))).await;
        assert_eq!(answer.header("set-cookie").ends_with("; Secure"), is_secure);
    }
}

#[actix_web::test]
async fn a_change_needs_the_token_of_the_session() {
    let node = start().await;
    let browser = Browser::sign_in(&node, &node.keys.admin).await;
    let other = Browser::sign_in(&node, &node.keys.admin).await;
    let contact = json!({"address": RECIPIENT, "trust": "accept"});
    for token in [None, Some(""), Some("0"), Some(other.csrf_token.as_str())] {
        let mut request = browser
            .without_token(Method::PUT, "/api/contacts/acme")
            .json(&contact);
        if let Some(token) = token {
            request = request.header("X-CSRF-Token", token);
        }
        let sentence = "Forbidden. The X-CSRF-Token header is not that of this session.";
        Answer::of(request).await.is_error(403, sentence, None);
    }
    assert_eq!(browser.get("/api/contacts/acme").await.status, 404);
    let request = browser.request(Method::PUT, "/api/contacts/acme").json(&contact);
    assert_eq!(Answer::of(request).await.status, 201);
}

#[actix_web::test]
async fn a_foreign_page_can_neither_read_nor_write() {
    let mut config = TestConfig::default();
    config.dashboard.allowed_hosts = vec!["console.example".to_owned()];
    let node = start_with(config).await;
    let browser = Browser::sign_in(&node, &node.keys.admin).await;
    for path in ["/", "/api/shares", "/ws", "/api/session"] {
        for (header, value) in [
            ("Host", "evil.example"),
            ("Origin", "https://evil.example"),
            ("Origin", "null"),
        ] {
            let answer = Answer::of(browser.request(Method::GET, path).header(header, value)).await;
            assert_eq!(answer.status, 403, "{path} {header}: {value}");
        }
    }
    let request = node.bare(Method::POST, &format!("{}/api/session", node.console));
    let request = request.header("Origin", "https://evil.example");
    let answer = Answer::of(request.json(&json!({"api_key": node.keys.admin}))).await;
    assert_eq!(answer.status, 403);
    let own = browser
        .request(Method::GET, "/api/shares")
        .header("Host", "console.example");
    assert_eq!(Answer::of(own).await.status, 200);
}

#[actix_web::test]
async fn a_session_ends_with_sign_out_and_with_its_key() {
    let node = start().await;
    let browser = Browser::sign_in(&node, &node.keys.read).await;
    let mut socket = browser.socket("").await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["type"], "connected");
    let out = Answer::of(browser.request(Method::DELETE, "/api/session")).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.get("/api/shares").await.status, 401);
    assert_eq!(next(&mut socket).await, None, "the socket ends with its session");

    let browser = Browser::sign_in(&node, &node.keys.read).await;
    let key_id = node.api_keys.authenticate(&node.keys.read).await.unwrap().key_id;
    let mut socket = browser.socket("").await.unwrap();
    node.api_keys.revoke(&key_id).await.unwrap();
    assert_eq!(browser.get("/api/session").await.status, 401);
    while next(&mut socket).await.is_some() {}
}

#[actix_web::test]
async fn what_a_stranger_has_shared_is_never_a_page_of_the_console() {
    let node = start().await;
    let browser = Browser::sign_in(&node, &node.keys.admin).await;
    let page = node.external(Method::PUT, &format!("/objects?recipient={RECIPIENT}"));
    let page = page
        .header("Content-Type", "text/html")
        .body("<script>alert(1)</script>");
    let hash = Answer::of(page).await.body["data_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        format!("/api/objects/{hash}"),
        "/api/shares".to_owned(),
        "/api/x".to_owned(),
    ] {
        let answer = browser.get(&path).await;
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'none'; sandbox",
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    let object = browser.get(&format!("/api/objects/{hash}")).await;
    assert!(object.header("content-disposition").starts_with("attachment"));
}

#[actix_web::test]
async fn the_page_comes_with_its_policy_and_once() {
    let node = start().await;
    let get = |path: &str| node.bare(Method::GET, &format!("{}{path}", node.console));
    let page = Answer::of(get("/")).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-security-policy"), "default-src 'none'");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    let again = Answer::of(get("/").header("If-None-Match", page.header("etag"))).await;
    assert_eq!(again.status, 304);
    for path in ["/x", "/api", "/..%2f", "/index"] {
        assert_eq!(Answer::of(get(path)).await.status, 404, "{path}");
    }
    let post = node.bare(Method::POST, &format!("{}/", node.console));
    Answer::of(post).await.is_error(405, "Method not allowed", None);
}
