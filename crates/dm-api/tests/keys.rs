//! `/keys`: replacing and destroying the node's own keys.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, OTHER, PASSWORD, RECIPIENT, TestNode, start};

async fn destroy(node: &TestNode, version: &str) -> Answer {
    Answer::of(node.internal(Method::DELETE, &format!("/keys/{version}"))).await
}

async fn post(node: &TestNode, path: &str) -> Value {
    let answer = Answer::of(node.internal(Method::POST, path)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.body
}

#[actix_web::test]
async fn versions_show_what_they_wrap_and_end_when_nothing_needs_them() {
    let node = start().await;
    node.put(b"some data".to_vec()).await;
    assert_eq!(post(&node, "/keys/rotate").await, json!({"version": 2}));
    post(&node, "/keys/rotate").await;
    let listed = node.get_internal("/keys").await;
    let versions = listed.body["versions"].as_array().unwrap();
    let shown: Vec<_> = versions
        .iter()
        .map(|version| (&version["version"], &version["wraps"], &version["newest"]))
        .collect();
    assert_eq!(
        shown,
        [
            (&json!(1), &json!(1), &json!(false)),
            (&json!(2), &json!(0), &json!(false)),
            (&json!(3), &json!(0), &json!(true))
        ]
    );
    let destroyed = destroy(&node, "2").await;
    assert_eq!((destroyed.status, destroyed.body), (200, json!({"version": 2})));
    let needed = "version 1 of the key-encryption key is needed: it wraps 1 content keys; they are wrapped again in the background, those of uploads excepted that are not complete";
    destroy(&node, "1").await.is_error(409, needed, None);
    let newest = "version 3 of the key-encryption key is needed: it is the newest and wraps everything new: rotate first";
    destroy(&node, "3").await.is_error(409, newest, None);
    let unknown = "there is no version 2 of the key-encryption key";
    destroy(&node, "2").await.is_error(404, unknown, None);
    for text in ["two", "-1", "4294967296"] {
        let refused = destroy(&node, text).await;
        refused.is_error(422, "version must be the number of a version", Some("version"));
    }
}

#[actix_web::test]
async fn a_new_key_for_grants_is_listed_beside_the_old_one() {
    let node = start().await;
    let before = node.get_internal("/keys").await.body["hpke_keys"].clone();
    let rotated = post(&node, "/keys/hpke/rotate").await;
    let after = node.get_internal("/keys").await.body["hpke_keys"].clone();
    let keys = |list: &Value| -> Vec<Value> {
        let list = list.as_array().unwrap();
        list.iter().map(|key| key["public_key"].clone()).collect()
    };
    assert_eq!(
        keys(&after),
        [keys(&before), vec![rotated["public_key"].clone()]].concat()
    );
}

#[actix_web::test]
async fn the_master_password_is_changed_by_who_knows_it() {
    let node = start().await;
    let change =
        async |body: Value| Answer::of(node.internal(Method::POST, "/keys/password").json(&body)).await;
    for (body, field) in [
        (json!({"new_password": "new"}), "old_password"),
        (json!({"old_password": PASSWORD}), "new_password"),
        (json!({"old_password": 5, "new_password": "new"}), "old_password"),
        (
            json!({"old_password": "wrong", "new_password": "new"}),
            "old_password",
        ),
        (
            json!({"old_password": PASSWORD, "new_password": PASSWORD}),
            "new_password",
        ),
    ] {
        let refused = change(body.clone()).await;
        assert_eq!(
            (refused.status, &refused.body["field"]),
            (422, &json!(field)),
            "{body}"
        );
        assert!(!refused.body.to_string().contains(PASSWORD));
    }
    let changed = change(json!({"old_password": PASSWORD, "new_password": "new"})).await;
    assert_eq!(
        (changed.status, changed.body),
        (200, json!({"success": true, "persistent": false}))
    );
    let again = change(json!({"old_password": PASSWORD, "new_password": "newer"})).await;
    again.is_error(
        422,
        "old_password is not the present master password",
        Some("old_password"),
    );
}

#[actix_web::test]
async fn only_operators_see_and_change_keys() {
    let node = start().await;
    for (method, path) in [
        (Method::GET, "/keys"),
        (Method::POST, "/keys/rotate"),
        (Method::POST, "/keys/hpke/rotate"),
        (Method::POST, "/keys/password"),
        (Method::DELETE, "/keys/1"),
    ] {
        for key in [&node.keys.share, &node.keys.read] {
            let request = node.bare(method.clone(), &format!("{}{path}", node.internal));
            let answer = Answer::of(request.header("X-API-Key", key)).await;
            assert_eq!(answer.status, 403, "{method} {path}");
        }
    }
}

#[actix_web::test]
async fn an_address_record_tells_who_acts_for_the_address() {
    let node = start().await;
    let own = node.get(&format!("/network/addresses/{}", node.address)).await;
    assert_eq!(own.status, 200);
    assert_eq!(own.body["operator"], node.address.to_string());
    assert_eq!(own.body["address"], node.address.to_string());
    assert_eq!(own.body["peer_id"], "local");
    assert_eq!(own.body["hpke_public_key"].as_str().unwrap().len(), 64);
    let unknown = node.get(&format!("/network/addresses/{OTHER}")).await;
    unknown.is_error(404, "Address record not found", None);
    let rubbish = node
        .get(&format!("/network/addresses/{}", &RECIPIENT[..20]))
        .await;
    assert_eq!((rubbish.status, &rubbish.body["field"]), (422, &json!("address")));
}
