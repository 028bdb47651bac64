//! The internal API, and what both APIs tell of the node's state.

use std::sync::{Arc, atomic::Ordering};

use dm_core::{
    health::{Finding, Trouble},
    ports::HealthCheck,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, RECIPIENT, TestConfig, raw, start, start_with};

const ZERO: &str = "0x0000000000000000000000000000000000000000";

#[actix_web::test]
async fn operators_see_every_component_without_a_key() {
    let node = start().await;
    for path in ["/health", "/healthz", "/ready"] {
        let answer = Answer::of(node.bare(Method::GET, &format!("{}{path}", node.internal))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body["status"], "healthy");
        let components = &answer.body["components"];
        assert_eq!(components["blockchain"], "connected");
        assert_eq!(components["p2p_network"], "running");
        assert_eq!(components["encryption"], "initialized");
        assert!(answer.body["version"].is_string());
    }
}

#[actix_web::test]
async fn clients_see_whether_the_node_works_without_a_key() {
    let node = start().await;
    for path in ["/health", "/healthz", "/ready"] {
        let answer = Answer::of(node.bare(Method::GET, &format!("{}{path}", node.external))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.body,
            json!({"status": "healthy", "p2p": {"running": true, "peers": 1}})
        );
    }
}

#[actix_web::test]
async fn a_node_that_an_operator_must_repair_is_unhealthy() {
    let node = start().await;
    node.log.set_fault("forked");
    for url in [&node.internal, &node.external] {
        let answer = Answer::of(node.bare(Method::GET, &format!("{url}/health"))).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.body["status"], "unhealthy");
    }
}

#[actix_web::test]
async fn balances_are_decimal_strings() {
    let node = start().await;
    for query in ["", &format!("?token={ZERO}")] {
        let answer = node
            .get_internal(&format!("/balance/{}{query}", RECIPIENT.to_lowercase()))
            .await;
        assert_eq!(answer.status, 200);
        let expected = json!({"address": RECIPIENT, "balance": "10000000000000000000000", "token": ZERO});
        assert_eq!(answer.body, expected);
    }
}

#[actix_web::test]
async fn balances_of_nobody_and_of_unknown_tokens_are_refused() {
    let node = start().await;
    let answer = node.get_internal("/balance/0x12").await;
    answer.is_error(
        422,
        "address must be a valid Ethereum address (0x + 40 hex chars)",
        Some("address"),
    );
    let answer = node.get_internal(&format!("/balance/{RECIPIENT}?token=x")).await;
    answer.is_error(
        422,
        "token must be a valid Ethereum address (0x + 40 hex chars)",
        Some("token"),
    );
    let answer = node
        .get_internal(&format!("/balance/{RECIPIENT}?token={RECIPIENT}"))
        .await;
    answer.is_error(400, "token is not supported by this node", Some("token"));
    node.chain.away.store(true, Ordering::SeqCst);
    let answer = node.get_internal(&format!("/balance/{RECIPIENT}")).await;
    answer.is_error(503, "the chain cannot be reached: no route", None);
}

#[actix_web::test]
async fn tokens_are_listed() {
    let node = start().await;
    let answer = node.get_internal("/tokens").await;
    assert_eq!(answer.status, 200);
    let ether = json!({"address": ZERO, "type": "native", "symbol": "ETH", "name": "Ether", "decimals": 18});
    assert_eq!(answer.body, json!({"tokens": [ether]}));
}

#[actix_web::test]
async fn an_api_key_is_shown_once_works_and_ends_when_it_is_revoked() {
    let node = start().await;
    let count = async || {
        let listed = node.get_internal("/api_keys").await;
        listed.body["api_keys"].as_array().unwrap().len()
    };
    let before = count().await;
    let request = node.internal(Method::POST, "/api_keys");
    let made = Answer::of(request.json(&json!({"name": "ci", "scopes": ["read", "share"]}))).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["name"], "ci");
    assert_eq!(made.body["scopes"], json!(["share", "read"]));
    assert_eq!(made.body["expires_at"], Value::Null);
    let key = made.body["key"].as_str().unwrap();
    let id = made.body["id"].as_str().unwrap();

    let listed = node.get_internal("/api_keys").await;
    assert_eq!(count().await, before + 1);
    assert!(
        !listed.body.to_string().contains(key),
        "the key itself is never shown again"
    );

    let stats = || {
        node.bare(Method::GET, &format!("{}/network/stats", node.external))
            .header("X-API-Key", key)
    };
    assert_eq!(Answer::of(stats()).await.status, 200);
    let revoked = Answer::of(node.internal(Method::DELETE, &format!("/api_keys/{id}"))).await;
    assert_eq!(
        (revoked.status, revoked.body),
        (200, json!({"success": true, "id": id}))
    );
    assert_eq!(Answer::of(stats()).await.status, 401);
    let unknown = Answer::of(node.internal(Method::DELETE, "/api_keys/none")).await;
    unknown.is_error(404, "API key not found", None);
}

#[actix_web::test]
async fn a_key_that_cannot_be_made_names_the_field() {
    let node = start().await;
    for (body, field) in [
        (json!({"scopes": ["read"]}), "name"),
        (json!({"name": 5, "scopes": ["read"]}), "name"),
        (json!({"name": "n"}), "scopes"),
        (json!({"name": "n", "scopes": "read"}), "scopes"),
        (json!({"name": "n", "scopes": ["root"]}), "scopes"),
        (
            json!({"name": "n", "scopes": ["read"], "expires_at": "soon"}),
            "expires_at",
        ),
        (
            json!({"name": "n", "scopes": ["read"], "expires_at": 1}),
            "expires_at",
        ),
    ] {
        let answer = Answer::of(node.internal(Method::POST, "/api_keys").json(&body)).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &json!(field)),
            "{body}"
        );
    }
}

#[actix_web::test]
async fn the_log_filter_is_changed_at_run_time() {
    let node = start().await;
    assert_eq!(
        node.get_internal("/log_filter").await.body,
        json!({"filter": "info"})
    );
    let put = |filter: Value| {
        node.internal(Method::PUT, "/log_filter")
            .json(&json!({"filter": filter}))
    };
    let changed = Answer::of(put(json!("info,dm_p2p=debug"))).await;
    assert_eq!(
        (changed.status, changed.body),
        (200, json!({"filter": "info,dm_p2p=debug"}))
    );
    for (filter, sentence) in [
        (json!("="), "filter is no log filter: no target"),
        (json!(""), "filter cannot be empty"),
        (json!(5), "filter must be a string"),
        (Value::Null, "filter cannot be empty"),
    ] {
        Answer::of(put(filter))
            .await
            .is_error(422, sentence, Some("filter"));
    }
    assert_eq!(
        node.get_internal("/log_filter").await.body["filter"],
        "info,dm_p2p=debug"
    );
}

#[actix_web::test]
async fn the_network_is_shown() {
    let node = start().await;
    let stats = node.get("/network/stats").await;
    assert_eq!(stats.status, 200);
    for field in [
        "total_peers",
        "healthy_peers",
        "active_peers",
        "bootstrap_nodes",
        "data_sent",
        "data_received",
        "uptime",
        "avg_latency_ms",
        "not_understood",
    ] {
        assert!(stats.body.get(field).is_some(), "{field}");
    }
    for (query, count) in [("", 2), ("?healthy=true", 1), ("?healthy=false", 2)] {
        let peers = node.get(&format!("/network/peers{query}")).await;
        assert_eq!(peers.status, 200);
        assert_eq!(peers.body["count"], count);
        assert_eq!(peers.body["peers"].as_array().unwrap().len(), count);
    }
    let peers = node.get("/network/peers").await;
    let banned = &peers.body["peers"][1];
    assert_eq!(
        (&banned["score"], &banned["banned_until"]),
        (&6.into(), &7.into())
    );
    assert_eq!(banned["last_offence"], "a flood of requests");
    let answer = node.get("/network/peers?healthy=perhaps").await;
    answer.is_error(422, "healthy must be true or false", Some("healthy"));
}

#[actix_web::test]
async fn how_the_object_store_is_is_shown() {
    let node = start().await;
    node.put(vec![7; 300_000]).await;
    let before = node.get("/network/storage").await;
    assert_eq!(before.status, 200);
    assert_eq!(
        (&before.body["objects"], &before.body["damaged"]),
        (&1.into(), &0.into())
    );
    assert!(before.body["last_scrub"].is_null());
    let report = node.scrubber.round().await.unwrap();
    let after = node.get("/network/storage").await;
    assert_eq!(after.body["last_scrub"], serde_json::json!(report));
    assert_eq!(after.body["last_scrub"]["drift"], 0);
}

#[actix_web::test]
async fn who_holds_an_object_is_shown_to_operators_alone() {
    let node = start().await;
    let hash = node.put(vec![7; 300_000]).await;
    let path = format!("/network/objects/{hash}");
    let answer = node.get(&path).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["hash"], hash);
    let object = &answer.body["objects"][0];
    assert_eq!(object["size"], 300_000);
    assert_eq!(object["own"], true);
    assert_eq!(object["holders"], serde_json::json!([]));
    let read = node
        .bare(Method::GET, &format!("{}{path}", node.external))
        .header("X-API-Key", &node.keys.read);
    assert_eq!(Answer::of(read).await.status, 403);
    let unknown = node.get(&format!("/network/objects/{}", "0".repeat(64))).await;
    unknown.is_error(404, "Data not found", None);
}

#[actix_web::test]
async fn a_page_in_the_operators_browser_reaches_nothing() {
    let mut setup = TestConfig::default();
    setup.internal.allowed_hosts = vec!["node.internal".to_owned()];
    let node = start_with(setup).await;
    let port = node.internal.rsplit(':').next().unwrap().to_owned();
    for (host, origin, status) in [
        (format!("127.0.0.1:{port}"), None, 200),
        (format!("localhost:{port}"), None, 200),
        (format!("node.internal:{port}"), None, 200),
        (
            format!("localhost:{port}"),
            Some(format!("http://localhost:{port}")),
            200,
        ),
        (format!("evil.example:{port}"), None, 403),
        (
            format!("127.0.0.1:{port}"),
            Some("http://evil.example".to_owned()),
            403,
        ),
        (format!("127.0.0.1:{port}"), Some("null".to_owned()), 403),
        (
            format!("localhost:{port}"),
            Some("http://localhost:3000".to_owned()),
            403,
        ),
    ] {
        // Health is told under every name.
        for path in ["/tokens", "/nothing"] {
            let origin_line = origin
                .as_ref()
                .map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\n{origin_line}X-API-Key: {}\r\nConnection: close\r\n\r\n",
                node.keys.admin
            );
            let answer = raw::exchange(&node.internal, request.as_bytes()).await;
            let expected = if path == "/nothing" && status == 200 {
                404
            } else {
                status
            };
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {expected} ")),
                "{path} {host} {origin:?}: {answer}"
            );
            assert!(answer.contains("x-request-id"), "{answer}");
        }
    }
}

#[actix_web::test]
async fn the_node_is_moved_to_another_endpoint_or_says_why_not() {
    let node = start().await;
    for (body, status, field) in [
        (json!({}), 422, json!("blockchain_url")),
        (json!({"blockchain_url": "ftp://x"}), 422, json!("blockchain_url")),
        (
            json!({"blockchain_url": "http://other"}),
            400,
            json!("blockchain_url"),
        ),
        (
            json!({"blockchain_url": "http://a", "private_key": "11"}),
            422,
            json!("private_key"),
        ),
        (json!({"private_key": "22"}), 503, Value::Null),
        (json!({"blockchain_url": "http://a, http://b"}), 200, Value::Null),
        (json!({"private_key": "33"}), 200, Value::Null),
    ] {
        let answer = node.post_internal("/blockchain", &body).await;
        assert_eq!(answer.status, status, "{:?}", answer.body);
        assert_eq!(answer.body["field"], field, "{:?}", answer.body);
    }
}

/// A part that has trouble.
struct FullDisk;

#[async_trait::async_trait]
impl HealthCheck for FullDisk {
    fn part(&self) -> &'static str {
        "object_store"
    }

    async fn check(&self) -> Finding {
        Finding::Failed(Trouble::new("no room is left on /srv/node", "make room").since(5))
    }
}

#[actix_web::test]
async fn what_is_wrong_with_a_part_is_told_to_those_with_a_key() {
    let setup = TestConfig {
        checks: vec![Arc::new(FullDisk)],
        ..TestConfig::default()
    };
    let node = start_with(setup).await;
    let url = |path: &str| format!("{}{path}", node.external);
    let anybody = Answer::of(node.bare(Method::GET, &url("/health"))).await;
    assert_eq!(
        (anybody.status, &anybody.body["status"]),
        (503, &"unhealthy".into())
    );
    assert!(
        !anybody.body.to_string().contains("/srv/node"),
        "{}",
        anybody.body
    );
    let without_key = Answer::of(node.bare(Method::GET, &url("/health/parts"))).await;
    assert_eq!(without_key.status, 401);

    let reader = node
        .bare(Method::GET, &url("/health/parts"))
        .header("X-API-Key", &node.keys.read);
    let told = Answer::of(reader).await;
    let part = &told.body["parts"]["object_store"];
    assert_eq!(told.status, 200);
    assert_eq!(
        (&part["status"], &part["since"]),
        (&"unhealthy".into(), &5.into())
    );
    assert_eq!(part["reason"], "no room is left on /srv/node");
    assert_eq!(part["action"], "make room");
}

#[actix_web::test]
async fn the_api_for_clients_is_called_under_its_names_where_it_has_some() {
    for (names, host, status) in [
        (vec![], "anything.example", 200),
        (vec!["node.example".to_owned()], "node.example", 200),
        (vec!["node.example".to_owned()], "localhost", 200),
        (vec!["node.example".to_owned()], "anything.example", 403),
    ] {
        let mut setup = TestConfig::default();
        setup.external.allowed_hosts = names.clone();
        let node = start_with(setup).await;
        let request = format!(
            "GET /network/stats HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {}\r\nConnection: close\r\n\r\n",
            node.keys.read
        );
        let answer = raw::exchange(&node.external, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{names:?} {host}: {answer}"
        );
    }
}
