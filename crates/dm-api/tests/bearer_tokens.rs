//! Tokens of the company's provider open both APIs.

use dm_core::{
    api_key::{Principal, Scope},
    clock::now_ms,
};
use futures::StreamExt;
use reqwest::Method;
use serde_json::json;

use crate::common::{
    Answer,
    company::{Company, browser_token, person},
    start,
};

#[actix_web::test]
async fn a_token_opens_both_apis_and_the_console() {
    let company = Company::start().await;
    let node = &company.node;
    let token = browser_token(&company, person("ann", [Scope::Admin]));
    for url in [
        format!("{}/shares", node.external),
        format!("{}/api_keys", node.internal),
        format!("{}/api/shares", node.console),
    ] {
        for scheme in ["Bearer", "bearer"] {
            let request = node.bare(Method::GET, &url);
            let request = request.header("Authorization", format!("{scheme} {token}"));
            assert_eq!(Answer::of(request).await.status, 200, "{url}");
        }
        let wrong = Answer::of(node.bare(Method::GET, &url).bearer_auth("another")).await;
        wrong.is_error(401, "Unauthorized. Not accepted: nobody's token.", None);
        assert_eq!(wrong.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        for header in ["Basic YTpi", "Bearer", "Bearer ", &token] {
            let request = node.bare(Method::GET, &url).header("Authorization", header);
            assert_eq!(Answer::of(request).await.status, 401, "{url} {header}");
        }
    }
    company.provider.set_away(true);
    let url = format!("{}/shares", node.external);
    let away = Answer::of(node.bare(Method::GET, &url).bearer_auth(&token)).await;
    away.is_error(503, "the identity provider cannot be asked at the moment", None);
    assert!(away.headers.contains_key("retry-after"));
    let by_key = company
        .node
        .external(Method::GET, "/shares")
        .bearer_auth("another");
    assert_eq!(Answer::of(by_key).await.status, 200, "the API key counts");
}

#[actix_web::test]
async fn a_node_without_a_provider_accepts_no_token() {
    let node = start().await;
    let request = node.bare(Method::GET, &format!("{}/shares", node.external));
    assert_eq!(Answer::of(request.bearer_auth("a.b.c")).await.status, 401);
}

#[actix_web::test]
async fn what_is_under_way_for_a_token_ends_with_it() {
    let company = Company::start().await;
    let short = Principal {
        expires_at: Some(now_ms() + 500),
        ..person("ann", [Scope::Read])
    };
    company.provider.give_token("short", short);
    let url = format!("{}/events/stream", company.node.external);
    let response = company.node.bare(Method::GET, &url).bearer_auth("short");
    let mut stream = response.send().await.unwrap().bytes_stream();
    while let Some(Ok(_)) = stream.next().await {}
}

#[actix_web::test]
async fn a_token_that_ends_makes_no_key_that_does_not() {
    let company = Company::start().await;
    let token = browser_token(&company, person("ann", [Scope::Admin]));
    let url = format!("{}/api_keys", company.node.internal);
    let asked = json!({"name": "a", "scopes": ["admin"]});
    let request = company
        .node
        .bare(Method::POST, &url)
        .bearer_auth(&token)
        .json(&asked);
    let answer = Answer::of(request).await;
    assert_eq!(
        (answer.status, &answer.body["field"]),
        (403, &json!("expires_at"))
    );
}
