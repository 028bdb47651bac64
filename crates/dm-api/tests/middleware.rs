//! What every request passes: ids, keys and scopes, rate limits, hosts, time.

use std::sync::{Arc, atomic::Ordering};

use dm_core::{
    api_key::{Rights, Scope},
    config::{ApiKeysConfig, RateLimit},
    ports::{ApiKeys, NewApiKeyRequest},
};
use reqwest::Method;
use serde_json::json;

use crate::common::{Answer, NO_DATA, RECIPIENT, TestConfig, TestNode, start, start_with};

const UNAUTHORIZED: &str = "Unauthorized. Provide valid X-API-Key header.";

async fn with_request_id(node: &TestNode, path: &str, id: &str) -> Answer {
    let request = node.bare(Method::GET, &format!("{}{path}", node.external));
    Answer::of(request.header("X-Request-Id", id)).await
}

#[actix_web::test]
async fn every_response_carries_a_request_id() {
    let node = start().await;
    for (path, status) in [
        ("/health", 200),
        ("/nothing", 404),
        ("/tokens", 404),
        ("/network/stats", 401),
    ] {
        let answer = with_request_id(&node, path, "my-id/1").await;
        assert_eq!(
            (answer.status, answer.header("x-request-id")),
            (status, "my-id/1")
        );
        let first = Answer::of(node.bare(Method::GET, &format!("{}{path}", node.external))).await;
        let second = Answer::of(node.bare(Method::GET, &format!("{}{path}", node.external))).await;
        assert!(!first.header("x-request-id").is_empty());
        assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    }
    for unusable in ["two words", "", &"x".repeat(129)] {
        let answer = with_request_id(&node, "/health", unusable).await;
        assert_ne!(answer.header("x-request-id"), unusable);
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[actix_web::test]
async fn what_is_not_there_has_the_shape_of_every_error() {
    let node = start().await;
    for path in [
        "/",
        "/nothing",
        "/data",
        "/data/",
        "/data/a/b",
        "/transfer",
        "/tokens",
        "/users",
        "//health",
    ] {
        node.get(path).await.is_error(404, "Not found", None);
    }
    for path in ["/share_data", "/authorization", "/objects"] {
        node.get_internal(path).await.is_error(404, "Not found", None);
    }
}

#[actix_web::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let node = start().await;
    for (method, path, allow) in [
        (Method::GET, "/share_data".to_owned(), "POST"),
        (Method::POST, format!("/objects/{NO_DATA}"), "GET, HEAD"),
        (Method::PUT, format!("/data/{NO_DATA}"), "DELETE, GET, HEAD"),
        (Method::POST, "/health".to_owned(), "GET, HEAD"),
        (Method::OPTIONS, "/objects".to_owned(), "PUT"),
    ] {
        let answer = Answer::of(node.external(method, &path)).await;
        answer.is_error(405, "Method not allowed", None);
        assert_eq!(answer.header("allow"), allow);
    }
    let answer = Answer::of(node.internal(Method::PATCH, "/api_keys")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, POST"));
}

#[actix_web::test]
async fn everything_but_health_and_verification_needs_a_key() {
    let node = start().await;
    let routes = [
        (&node.internal, dm_api::internal_routes()),
        (&node.external, dm_api::external_routes()),
    ];
    for (base, routes) in routes {
        for route in routes {
            let open = matches!(
                route.path,
                "/health"
                    | "/healthz"
                    | "/ready"
                    | "/livez"
                    | "/readyz"
                    | "/openapi.json"
                    | "/verify_data/{data_hash}"
            );
            let path = route
                .path
                .replace("{data_hash}", NO_DATA)
                .replace("{address}", RECIPIENT);
            for key in [None, Some(""), Some("dm_wrong_key"), Some("k\u{fc}y")] {
                let mut request = node.bare(route.method.as_str().parse().unwrap(), &format!("{base}{path}"));
                if let Some(key) = key {
                    request = request.header("X-API-Key", key);
                }
                let answer = Answer::of(request).await;
                assert_eq!(answer.status == 401, !open, "{} {path}", route.method);
                if !open && route.method != "HEAD" {
                    answer.is_error(401, UNAUTHORIZED, None);
                }
            }
        }
    }
}

#[actix_web::test]
async fn a_key_opens_only_what_its_scopes_say() {
    let node = start().await;
    let body = json!({"data": "hello", "recipient": RECIPIENT});
    for (key, may_share, may_read, may_manage) in [
        (&node.keys.share, true, false, false),
        (&node.keys.read, false, true, false),
        (&node.keys.admin, true, true, true),
    ] {
        let share = node
            .bare(Method::POST, &format!("{}/share_data", node.external))
            .json(&body);
        let read = node.bare(Method::GET, &format!("{}/network/stats", node.external));
        let manage = node.bare(Method::GET, &format!("{}/api_keys", node.internal));
        for (request, may, scope) in [
            (share, may_share, "share"),
            (read, may_read, "read"),
            (manage, may_manage, "admin"),
        ] {
            let answer = Answer::of(request.header("X-API-Key", key)).await;
            if may {
                assert!(answer.status < 300, "{answer:?}");
            } else {
                let sentence = format!("Forbidden. The API key does not have the scope `{scope}`.");
                answer.is_error(403, &sentence, None);
            }
        }
    }
}

#[actix_web::test]
async fn a_request_that_gets_no_answer_is_given_up() {
    let mut setup = TestConfig::default();
    setup.internal.request_timeout_secs = 1;
    let node = start_with(setup).await;
    node.chain.silent.store(true, Ordering::SeqCst);
    let answer = node.get_internal(&format!("/balance/{RECIPIENT}")).await;
    let sentence = "the request took too long and was given up; what it asked for may still happen";
    answer.is_error(503, sentence, None);
    assert!(!answer.header("x-request-id").is_empty());
}

/// A node that allows a burst of `burst` requests and then one each second.
async fn limited(burst: u32, trusted_proxy: bool) -> TestNode {
    let mut setup = TestConfig::default();
    setup.external.rate_limit = RateLimit { per_second: 1, burst };
    if trusted_proxy {
        setup.external.trusted_proxies = vec![[127, 0, 0, 1].into()];
    }
    start_with(setup).await
}

fn stats(node: &TestNode, key: &str) -> reqwest::RequestBuilder {
    node.bare(Method::GET, &format!("{}/network/stats", node.external))
        .header("X-API-Key", key)
}

#[cfg(feature = "rate-limit")]
#[actix_web::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let node = limited(3, false).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(Answer::of(node.bare(Method::GET, &format!("{}/nothing", node.external))).await);
    }
    let refused = answers
        .iter()
        .find(|answer| answer.status == 429)
        .expect("the burst is used up");
    refused.is_error(429, "Rate limit exceeded", None);
    let wait = refused.body["retry_after"].as_f64().unwrap();
    assert!(wait > 0.0 && wait <= 1.0, "{wait}");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.body.as_object().unwrap().len(), 2);
    assert!(!refused.header("x-request-id").is_empty());
    assert!(answers[..3].iter().all(|answer| answer.status == 404));
    for path in ["/health", "/healthz", "/ready", "/livez", "/readyz"] {
        for _ in 0..5 {
            let answer = Answer::of(node.bare(Method::GET, &format!("{}{path}", node.external))).await;
            assert_eq!(answer.status, 200, "health is exempt");
        }
    }
}

#[cfg(feature = "rate-limit")]
#[actix_web::test]
async fn random_keys_do_not_escape_the_limit() {
    let node = limited(5, false).await;
    let mut refused = 0;
    for number in 0..20 {
        let answer = Answer::of(stats(&node, &format!("dm_random_{number}"))).await;
        assert!(matches!(answer.status, 401 | 429));
        refused += u32::from(answer.status == 429);
    }
    assert!(refused >= 10, "{refused}");
}

#[cfg(feature = "rate-limit")]
#[actix_web::test]
async fn each_valid_key_has_a_bucket_of_its_own() {
    let node = limited(8, true).await;
    let from = |address: &str, key: &str| stats(&node, key).header("X-Forwarded-For", address);
    // Every worker thread must have seen the key once, each over a new
    // connection's thread: ask from many addresses until the key is limited.
    let mut limited_by_key = false;
    for number in 0..100 {
        let answer = Answer::of(from(&format!("10.0.0.{number}"), &node.keys.read)).await;
        limited_by_key |= answer.status == 429;
    }
    assert!(limited_by_key, "a known key is limited wherever it comes from");
    let other = Answer::of(from("10.0.1.1", &node.keys.admin)).await;
    assert_eq!(other.status, 200, "another key is not");
}

#[cfg(feature = "rate-limit")]
#[actix_web::test]
async fn forwarded_addresses_count_only_from_trusted_proxies() {
    for trusted in [true, false] {
        let node = limited(3, trusted).await;
        let mut refused = 0;
        for number in 0..10 {
            let request = node.bare(Method::GET, &format!("{}/nothing", node.external));
            let answer = Answer::of(request.header("X-Forwarded-For", format!("10.0.0.{number}"))).await;
            refused += u32::from(answer.status == 429);
        }
        assert_eq!(refused == 0, trusted, "{refused} of 10 refused");
    }
}

#[actix_web::test]
async fn an_expired_key_is_no_key() {
    let node = start().await;
    let request = NewApiKeyRequest {
        name: "short".to_owned(),
        rights: Arc::new(Rights::of([Scope::Read])),
        expires_at: Some(dm_core::clock::now_ms() + 300),
    };
    let key = node.api_keys.create(request).await.unwrap().key;
    loop {
        let answer = Answer::of(stats(&node, &key)).await;
        if answer.status == 401 {
            break;
        }
        assert_eq!(answer.status, 200);
    }
}

#[actix_web::test]
async fn a_catalog_that_fails_makes_no_known_client_unknown() {
    let node = start_with(TestConfig {
        api_keys: ApiKeysConfig {
            max_wrong: 1,
            ..ApiKeysConfig::default()
        },
        ..TestConfig::default()
    })
    .await;
    assert_eq!(node.get("/network/stats").await.status, 200);
    node.api_keys.set_failing(true);
    for _ in 0..5 {
        let answer = node.get("/network/stats").await;
        answer.is_error(503, "API keys cannot be looked up at the moment", None);
        assert_eq!(answer.header("retry-after"), "1");
    }
    node.api_keys.set_failing(false);
    // Somebody at the same address sends wrong keys meanwhile and has to wait.
    for status in [401, 401, 429] {
        let request = node.bare(Method::GET, &format!("{}/network/stats", node.external));
        assert_eq!(
            Answer::of(request.header("X-API-Key", "dm_wrong")).await.status,
            status
        );
    }
    assert_eq!(node.get("/network/stats").await.status, 200, "it is known still");
}
