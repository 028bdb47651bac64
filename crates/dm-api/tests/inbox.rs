//! `/inbox`.

use reqwest::Method;
use serde_json::json;

use crate::common::{Answer, RECIPIENT, start};

#[actix_web::test]
async fn an_inbox_into_which_nothing_came_is_empty_whatever_is_asked_for() {
    let node = start().await;
    for query in [
        "",
        "?limit=5&since=1700000000000",
        "?name=a%20b.txt&label.stage=final&label.year=&state=new,fetched",
        "?cursor=7",
    ] {
        let answer = node.get(&format!("/inbox{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {:?}", answer.body);
        assert_eq!(answer.body, json!({"items": [], "next_cursor": null}));
    }
    let by_sender = node.get(&format!("/inbox?from={RECIPIENT}")).await;
    assert_eq!(by_sender.status, 200);
    let route = format!("/inbox/{}", "ab".repeat(32));
    let acknowledge = format!("{route}/acknowledge");
    for (method, route) in [
        (Method::GET, &route),
        (Method::DELETE, &route),
        (Method::POST, &acknowledge),
    ] {
        let answer = Answer::of(node.external(method, route)).await;
        assert_eq!(answer.status, 404);
    }
}

#[actix_web::test]
async fn what_is_shared_by_the_node_itself_is_not_in_its_inbox() {
    let node = start().await;
    node.share(&json!({"data": "mine", "recipient": node.address.to_string()}))
        .await;
    assert_eq!(node.get("/inbox").await.body["items"], json!([]));
}

#[actix_web::test]
async fn a_filter_that_is_none_is_refused_and_named() {
    let node = start().await;
    for (query, field, part) in [
        ("from=acme", "from", "Ethereum address"),
        ("state=newest", "state", "new, fetched"),
        ("state=", "state", "new, fetched"),
        ("since=yesterday", "since", "RFC 3339"),
        ("limit=0", "limit", "1 to 1000"),
        ("cursor=elsewhere", "cursor", "next_cursor"),
        ("cursor=-1", "cursor", "next_cursor"),
        ("label.=x", "labels", "keys"),
        ("label.a%20b=x", "labels", "keys"),
        ("label.a=1&label.a=2", "labels", "twice"),
    ] {
        let refused = node.get(&format!("/inbox?{query}")).await;
        let sentence = refused.body["error"].as_str().unwrap().to_owned();
        assert!(sentence.contains(part), "{query}: {sentence}");
        refused.is_error(422, &sentence, Some(field));
    }
}
