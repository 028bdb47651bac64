//! `/subscriptions`.

use dm_core::ports::{EventJournal, WebhookAnswer};
use dm_testing::waiting::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, OTHER, RECIPIENT, TestNode, start};

const URL: &str = "https://receiver.example/hook";

fn wanted() -> Value {
    json!({"name": "archive", "url": URL, "topics": ["data.shared"]})
}

async fn share(node: &TestNode, data: &str) -> String {
    let answer = node.share(&json!({"data": data, "recipient": RECIPIENT})).await;
    answer.body["data_hash"].as_str().unwrap().to_owned()
}

/// Waits until the receiver was called so often, and returns the subjects of its events.
async fn received(node: &TestNode, count: usize) -> Vec<String> {
    eventually(&format!("the receiver is called {count} times"), async || {
        let events = node.webhooks.events(URL);
        let subjects = events
            .iter()
            .map(|event| event["subject"].as_str().unwrap().to_owned());
        (events.len() >= count).then(|| subjects.collect())
    })
    .await
}

async fn subscribe(node: &TestNode, body: &Value) -> Value {
    let answer = node.post_internal("/subscriptions", body).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    answer.body
}

async fn patch(node: &TestNode, id: &str, paused: bool) -> Answer {
    let request = node.internal(Method::PATCH, &format!("/subscriptions/{id}"));
    Answer::of(request.json(&json!({"paused": paused}))).await
}

#[actix_web::test]
async fn a_receiver_is_called_for_what_happens_after_it_subscribed() {
    let node = start().await;
    share(&node, "before").await;
    let made = subscribe(&node, &wanted()).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!(
        (&made["state"], &made["name"]),
        (&json!("active"), &json!("archive"))
    );
    let (first, second) = (share(&node, "first").await, share(&node, "second").await);
    assert_eq!(received(&node, 2).await, [first, second]);
    let event = &node.webhooks.events(URL)[0];
    let listed = node.get("/events?topics=data.shared").await;
    assert_eq!(listed.body["events"][1], *event);
    assert_eq!(node.webhooks.calls(URL)[0].id, event["id"].as_str().unwrap());
    assert_eq!(node.webhooks.calls(URL)[0].secret.len(), 32);
}

#[actix_web::test]
async fn the_key_is_told_once() {
    let node = start().await;
    let made = subscribe(&node, &wanted()).await;
    let id = made["id"].as_str().unwrap();
    let one = node.get_internal(&format!("/subscriptions/{id}")).await;
    assert_eq!(one.status, 200);
    assert!(one.body.get("secret").is_none());
    let all = node.get_internal("/subscriptions").await;
    assert_eq!(all.body["subscriptions"], json!([one.body]));
}

#[actix_web::test]
async fn a_receiver_may_choose_its_key_and_where_to_begin() {
    let node = start().await;
    let before = share(&node, "before").await;
    let secret = format!("whsec_{}", "QUFB".repeat(8));
    let mut asked = wanted();
    (asked["secret"], asked["start"]) = (json!(secret), json!("beginning"));
    assert_eq!(subscribe(&node, &asked).await["secret"], secret);
    assert_eq!(received(&node, 1).await, [before]);
    assert_eq!(node.webhooks.calls(URL)[0].secret.as_slice(), [b'A'; 24]);
}

#[actix_web::test]
async fn a_filter_lets_through_what_has_all_of_it() {
    let node = start().await;
    let mut asked = wanted();
    asked["filter"] = json!({"recipient": OTHER});
    subscribe(&node, &asked).await;
    share(&node, "for somebody else").await;
    let answer = node
        .share(&json!({"data": "for the other", "recipient": OTHER}))
        .await;
    let wanted = answer.body["data_hash"].as_str().unwrap().to_owned();
    assert_eq!(received(&node, 1).await, [wanted]);
}

#[actix_web::test]
async fn a_paused_subscription_misses_nothing() {
    let node = start().await;
    let made = subscribe(&node, &wanted()).await;
    let id = made["id"].as_str().unwrap();
    let first = share(&node, "first").await;
    received(&node, 1).await;
    let paused = patch(&node, id, true).await;
    assert_eq!((paused.status, &paused.body["state"]), (200, &json!("paused")));
    let second = share(&node, "second").await;
    assert_eq!(patch(&node, id, false).await.body["state"], "active");
    // An event may be delivered again by the pause, and none is left out.
    eventually("both are delivered", async || {
        let events = node.webhooks.events(URL);
        let has = |hash: &str| events.iter().any(|event| event["subject"] == hash);
        (has(&first) && has(&second)).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_receiver_that_is_gone_is_called_no_more() {
    let node = start().await;
    node.webhooks.answer(URL, [WebhookAnswer::Gone]);
    let made = subscribe(&node, &wanted()).await;
    let id = made["id"].as_str().unwrap();
    share(&node, "first").await;
    eventually("the subscription has ended", async || {
        let kept = node.get_internal(&format!("/subscriptions/{id}")).await;
        (kept.body["state"] == "ended").then_some(())
    })
    .await;
    share(&node, "second").await;
    assert_eq!(node.webhooks.calls(URL).len(), 1);
    // An operator lets it go on, with the event that was not taken.
    patch(&node, id, false).await;
    assert_eq!(received(&node, 3).await.len(), 3);
}

#[actix_web::test]
async fn what_failed_is_told_and_tried_again() {
    let node = start().await;
    let reason = "answered 500 Internal Server Error".to_owned();
    node.webhooks.answer(
        URL,
        [WebhookAnswer::Failed {
            reason: reason.clone(),
        }],
    );
    let made = subscribe(&node, &wanted()).await;
    let path = format!("/subscriptions/{}", made["id"].as_str().unwrap());
    share(&node, "first").await;
    let kept = eventually("the failure is told", async || {
        let kept = node.get_internal(&path).await.body;
        (kept["failed_attempts"] == 1).then_some(kept)
    })
    .await;
    assert_eq!(kept["last_error"], reason);
    assert!(kept["next_try"].as_f64().unwrap() > kept["created_at"].as_f64().unwrap());
    assert_eq!(received(&node, 2).await.len(), 2);
}

#[actix_web::test]
async fn what_was_forgotten_before_it_could_be_delivered_is_counted() {
    let node = start().await;
    let made = subscribe(&node, &wanted()).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["missed"], 0);
    patch(&node, id, true).await;
    for data in ["first", "second", "third"] {
        share(&node, data).await;
    }
    node.catalog.prune_journal(0, 1).await.unwrap();
    let path = format!("/subscriptions/{id}");
    let paused = node.get_internal(&path).await.body;
    let missed = paused["missed"].as_u64().unwrap();
    assert!(missed >= 2, "{paused}");
    patch(&node, id, false).await;
    share(&node, "fourth").await;
    eventually("deliveries go on behind the gap", async || {
        (!node.webhooks.calls(URL).is_empty()).then_some(())
    })
    .await;
    let listed = node.get_internal("/subscriptions").await.body;
    assert_eq!(listed["subscriptions"][0]["missed"], missed);
}

#[actix_web::test]
async fn a_replay_delivers_again() {
    let node = start().await;
    let begin = node.get("/events?cursor=now").await.body["cursor"].clone();
    let made = subscribe(&node, &wanted()).await;
    let path = format!("/subscriptions/{}/replay", made["id"].as_str().unwrap());
    let first = share(&node, "first").await;
    received(&node, 1).await;
    let replayed = node.post_internal(&path, &json!({"cursor": begin})).await;
    assert_eq!(replayed.status, 202);
    assert_eq!(received(&node, 2).await, [first.clone(), first]);
}

#[actix_web::test]
async fn a_new_subscription_does_not_interrupt_the_calls_of_others() {
    let node = start().await;
    node.webhooks.hang(URL);
    subscribe(&node, &wanted()).await;
    share(&node, "first").await;
    received(&node, 1).await;
    let (url, mut other) = ("https://other.example/hook", wanted());
    (other["name"], other["url"], other["start"]) = (json!("other"), json!(url), json!("beginning"));
    subscribe(&node, &other).await;
    eventually("the other receiver is called", async || {
        (!node.webhooks.calls(url).is_empty()).then_some(())
    })
    .await;
    assert_eq!(node.webhooks.calls(URL).len(), 1);
}

#[actix_web::test]
async fn a_removed_subscription_is_not_found() {
    let node = start().await;
    let made = subscribe(&node, &wanted()).await;
    let path = format!("/subscriptions/{}", made["id"].as_str().unwrap());
    let deliveries = node
        .get_internal(&format!("{path}/deliveries?state=failed"))
        .await;
    assert_eq!(deliveries.body, json!({"deliveries": [], "next_cursor": null}));
    assert_eq!(Answer::of(node.internal(Method::DELETE, &path)).await.status, 204);
    for answer in [
        node.get_internal(&path).await,
        node.get_internal(&format!("{path}/deliveries")).await,
        Answer::of(node.internal(Method::DELETE, &path)).await,
        patch(&node, made["id"].as_str().unwrap(), true).await,
    ] {
        answer.is_error(404, "Subscription not found", None);
    }
}

#[actix_web::test]
async fn odd_subscriptions_are_refused_with_their_field() {
    let node = start().await;
    let name = "name must be 1 to 100 characters, none of them a control character";
    let long = "x".repeat(101);
    for (field, value, sentence) in [
        ("name", json!(""), name),
        ("name", json!(long), name),
        ("name", json!("a\u{7}"), name),
        ("url", json!("ftp://x"), "url must begin with http:// or https://"),
        (
            "topics",
            json!("data.shared"),
            "topics must be an array of strings",
        ),
        ("topics", json!(null), "topics must be an array of strings"),
        (
            "filter",
            json!({"to": "x"}),
            "filter may have from, recipient, and label.KEY",
        ),
        ("filter", json!([1]), "filter must be an object of strings"),
        (
            "start",
            json!("soon"),
            "start must be now, beginning, or a cursor",
        ),
        (
            "secret",
            json!("whsec_QUFB"),
            "secret must be whsec_ and 24 to 64 bytes in Base64",
        ),
    ] {
        let mut asked = wanted();
        asked[field] = value;
        let answer = node.post_internal("/subscriptions", &asked).await;
        answer.is_error(422, sentence, Some(field));
    }
    subscribe(&node, &wanted()).await;
    let again = node.post_internal("/subscriptions", &wanted()).await;
    assert_eq!((again.status, &again.body["field"]), (400, &json!("name")));
    let id = node.get_internal("/subscriptions/sub_x").await;
    id.is_error(422, "id must be sub_ and 16 hexadecimal digits", Some("id"));
}
