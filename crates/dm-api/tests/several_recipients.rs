//! Shares with several recipients of one request.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, OTHER, RECIPIENT, start};

const THIRD: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

#[actix_web::test]
async fn several_recipients_have_a_share_each() {
    let node = start().await;
    let body = json!({"data": "hello", "recipients": [RECIPIENT, OTHER.to_lowercase()]});
    let answer = node.share(&body).await;
    assert_eq!(answer.status, 201);
    let shares = answer.body["shares"].as_array().unwrap();
    for (share, recipient) in shares.iter().zip([RECIPIENT, OTHER]) {
        let alone = node
            .share(&json!({"data": "hello", "recipient": recipient}))
            .await;
        assert_eq!(*share, alone.body);
    }
    assert_eq!(shares.len(), 2);
    node.log.set_chain_away(true);
    let pending = json!({"data": "other", "recipients": [RECIPIENT, OTHER]});
    assert_eq!(node.share(&pending).await.status, 202);
    let url = format!("/objects?recipients={RECIPIENT},{OTHER}");
    let put = Answer::of(node.external(Method::PUT, &url).body("bytes")).await;
    assert_eq!(put.status, 202);
    assert_eq!(put.body["shares"][1]["recipient"], OTHER);
}

#[actix_web::test]
async fn a_list_of_recipients_names_each_once() {
    let node = start().await;
    let many: Vec<String> = (0..65).map(|n| format!("0x{n:040x}")).collect();
    for (recipients, reason) in [
        (json!([]), "must name 1 to 64 recipients"),
        (json!(many), "must name 1 to 64 recipients"),
        (json!([RECIPIENT, 5]), "must be a list of strings"),
        (json!(RECIPIENT), "must be a list of strings"),
        (json!([RECIPIENT, RECIPIENT.to_lowercase()]), "twice"),
        (json!([RECIPIENT, "nobody"]), "nobody"),
        (json!([RECIPIENT, ""]), "must be a valid Ethereum address"),
    ] {
        let refused = node.share(&json!({"data": "x", "recipients": recipients})).await;
        assert_eq!(refused.status, 422, "{recipients}");
        assert_eq!(refused.body["field"], "recipients");
        let sentence = refused.body["error"].as_str().unwrap();
        assert!(sentence.contains(reason), "{sentence}");
    }
    for (field, value) in [
        ("recipient", json!(OTHER)),
        ("permit", json!({})),
        ("authorization", json!({})),
        ("user_id", json!("bob")),
    ] {
        let mut body = json!({"data": "x", "recipients": [RECIPIENT, OTHER]});
        body[field] = value;
        let refused = node.share(&body).await;
        assert_eq!(refused.status, 422, "{field}");
        let named = if field == "recipient" { "recipients" } else { field };
        assert_eq!(refused.body["field"], named);
    }
}

#[actix_web::test]
async fn a_key_of_several_recipients_stands_for_the_whole_request() {
    let node = start().await;
    let share = async |body: Value| {
        let request = node.external(Method::POST, "/share_data").json(&body);
        Answer::of(request.header("Idempotency-Key", "k")).await
    };
    let first = share(json!({"data": "x", "recipients": [RECIPIENT, OTHER]})).await;
    assert_eq!(first.status, 201);
    let again = share(json!({"data": "x", "recipients": [OTHER, RECIPIENT]})).await;
    assert_eq!(again.body["shares"][0], first.body["shares"][1]);
    for other in [
        json!({"data": "y", "recipients": [RECIPIENT, OTHER]}),
        json!({"data": "x", "recipients": [RECIPIENT, OTHER, THIRD]}),
        json!({"data": "x", "recipients": [THIRD]}),
        json!({"data": "x", "recipient": RECIPIENT}),
        json!({"data": "x", "recipients": [RECIPIENT, OTHER], "name": "n"}),
    ] {
        let refused = share(other.clone()).await;
        assert_eq!(refused.status, 422, "{other}");
        assert_eq!(refused.body["field"], "Idempotency-Key", "{other}");
    }
    let nothing = node.share(&json!({"data": "y", "recipient": OTHER})).await;
    assert_eq!(nothing.body["receipt"], 2, "a refused request has made a share");
}

#[actix_web::test]
async fn a_recipient_that_the_key_is_not_for_has_an_outcome_of_its_own() {
    let node = start().await;
    let key = json!({"name": "narrowed", "scopes": ["share"], "recipients": [RECIPIENT]});
    let key = node.post_internal("/api_keys", &key).await.body["key"].clone();
    let share = async |recipients: &[&str]| {
        let url = format!("{}/share_data", node.external);
        let request = node.bare(Method::POST, &url);
        let request = request.header("X-API-Key", key.as_str().unwrap());
        Answer::of(request.json(&json!({"data": "x", "recipients": recipients}))).await
    };
    let mixed = share(&[OTHER, RECIPIENT]).await;
    assert_eq!(mixed.status, 201);
    let refused = &mixed.body["shares"][0];
    assert_eq!(
        (&refused["status"], &refused["code"], &refused["recipient"]),
        (&json!("failed"), &json!(403), &json!(OTHER))
    );
    assert!(refused["error"].as_str().unwrap().contains(OTHER));
    assert_eq!(mixed.body["shares"][1]["status"], "anchored");
    let none = share(&[OTHER, THIRD]).await;
    assert_eq!((none.status, &none.body["field"]), (403, &json!("recipients")));
}

#[actix_web::test]
async fn where_all_shares_fail_the_answer_is_the_failure_of_the_first() {
    let node = start().await;
    let ended = json!({"data": "x", "recipients": [RECIPIENT, OTHER], "expires_at": 5});
    let failed = node.share(&ended).await;
    assert_eq!(
        (failed.status, &failed.body["field"]),
        (422, &json!("expires_at"))
    );
    let shares = failed.body["shares"].as_array().unwrap();
    for share in shares {
        assert_eq!(share["error"], failed.body["error"]);
        assert_eq!(share["code"], 422);
    }
    assert_eq!(shares.len(), 2);
}
