//! Descriptors: what a client says of data, and what readers are told.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::common::{Answer, OTHER, RECIPIENT, TestNode, start};

fn upload(node: &TestNode, recipient: &str) -> RequestBuilder {
    node.external(Method::PUT, &format!("/objects?recipient={recipient}"))
        .body("some bytes")
}

async fn header(node: &TestNode, method: Method, hash: &Value, name: &str) -> String {
    let path = format!("/objects/{}", hash.as_str().unwrap());
    Answer::of(node.external(method, &path))
        .await
        .header(name)
        .to_owned()
}

#[actix_web::test]
async fn an_object_is_answered_under_its_name_and_type_and_never_as_a_page() {
    let node = start().await;
    let request = upload(&node, RECIPIENT)
        .header("Content-Type", "text/html; charset=utf-8")
        .header(
            "Content-Disposition",
            "attachment; filename*=UTF-8''%C3%9Cbersicht%20%22a%22.html",
        )
        .header("X-Labels", r#"{"project": "m\u00fcnchen"}"#)
        .header("X-Correlation-Id", "order-7")
        .header("X-Supersedes", "AB".repeat(32));
    let shared = Answer::of(request).await;
    assert_eq!(shared.status, 201, "{:?}", shared.body);
    let hash = &shared.body["data_hash"];
    for method in [Method::GET, Method::HEAD] {
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            (
                "content-disposition",
                "attachment; filename*=UTF-8''%C3%9Cbersicht%20%22a%22.html",
            ),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(header(&node, method.clone(), hash, name).await, value);
        }
    }
}

#[actix_web::test]
async fn data_of_which_nothing_is_said_is_an_attachment_of_any_bytes() {
    let node = start().await;
    let silent = [
        None,
        Some("application/octet-stream"),
        // What curl sends by itself.
        Some("application/x-www-form-urlencoded"),
    ];
    for media_type in silent {
        let mut request = upload(&node, RECIPIENT);
        if let Some(media_type) = media_type {
            request = request.header("Content-Type", media_type);
        }
        let hash = &Answer::of(request).await.body["data_hash"];
        for (name, value) in [
            ("content-type", "application/octet-stream"),
            ("content-disposition", "attachment"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(
                header(&node, Method::GET, hash, name).await,
                value,
                "{media_type:?}"
            );
        }
    }
}

#[actix_web::test]
async fn a_text_is_described_in_the_fields_of_its_body() {
    let node = start().await;
    let mut body = json!({
        "data": "a,b", "recipient": RECIPIENT, "name": "table.csv", "media_type": "text/csv",
        "labels": {"stage": "final", "empty": ""}, "correlation_id": "7", "supersedes": null,
    });
    let shared = node.share(&body).await;
    assert_eq!(shared.status, 201, "{:?}", shared.body);
    let hash = &shared.body["data_hash"];
    let disposition = async || header(&node, Method::GET, hash, "content-disposition").await;
    assert_eq!(header(&node, Method::GET, hash, "content-type").await, "text/csv");
    assert_eq!(disposition().await, "attachment; filename*=UTF-8''table.csv");

    let silent = json!({"data": "a,b", "recipient": OTHER, "labels": {}});
    node.share(&silent).await;
    assert_eq!(disposition().await, "attachment; filename*=UTF-8''table.csv");
    body["name"] = json!("other.csv");
    node.share(&body).await;
    assert_eq!(disposition().await, "attachment; filename*=UTF-8''other.csv");
}

#[actix_web::test]
async fn a_description_that_is_none_is_refused_and_its_field_named() {
    let node = start().await;
    let long = "v".repeat(256);
    let many: serde_json::Map<_, _> = (0..32).map(|n| (format!("k{n}"), json!(long))).collect();
    for (field, value, part) in [
        ("name", json!("../secret"), "path"),
        ("name", json!(".."), "dots"),
        ("name", json!("a\0b"), "control"),
        ("name", json!("invoice\u{202e}fdp.exe"), "direction"),
        ("name", json!("aux.txt"), "Windows"),
        ("name", json!("n".repeat(10 * 1024)), "255"),
        ("name", json!(5), "string"),
        ("media_type", json!("pdf"), "media type"),
        ("media_type", json!("text/plain\r\nSet-Cookie: a=b"), "media type"),
        ("labels", json!({"a b": "1"}), "keys"),
        ("labels", json!({"a": 1}), "object"),
        ("labels", json!(["a"]), "object"),
        ("labels", json!({"a": "v".repeat(257)}), "256"),
        ("correlation_id", json!(""), "empty"),
        ("supersedes", json!("abc"), "64 hexadecimal digits"),
    ] {
        let mut body = json!({"data": "x", "recipient": RECIPIENT});
        body[field] = value;
        let refused = node.share(&body).await;
        let sentence = refused.body["error"].as_str().unwrap().to_owned();
        assert!(
            sentence.starts_with(field) && sentence.contains(part),
            "{sentence}"
        );
        refused.is_error(422, &sentence, Some(field));
    }
    let body = json!({"data": "x", "recipient": RECIPIENT, "labels": many});
    let refused = node.share(&body).await;
    assert_eq!(
        (refused.status, &refused.body["field"]),
        (422, &json!("descriptor"))
    );
    let twice = format!(r#"{{"data": "x", "recipient": "{RECIPIENT}", "labels": {{"a": "1", "a": "2"}}}}"#);
    let refused = Answer::of(node.external(Method::POST, "/share_data").body(twice)).await;
    refused.is_error(
        422,
        "labels must have each key once, and have a twice",
        Some("labels"),
    );
    let history = node.get("/compliance_history").await;
    assert_eq!(history.body["count"], 0, "nothing was shared");
}

#[actix_web::test]
async fn a_header_that_describes_nothing_is_refused_before_the_bytes_are_taken() {
    let node = start().await;
    for (name, value) in [
        ("Content-Type", "pdf"),
        ("Content-Disposition", "attachment; filename*=UTF-8''..%2Fsecret"),
        ("Content-Disposition", "attachment; filename*=latin"),
        // invoice‹right-to-left override›fdp.exe shows as invoiceexe.pdf.
        (
            "Content-Disposition",
            "attachment; filename*=UTF-8''invoice%E2%80%AEfdp.exe",
        ),
        ("X-Labels", "stage=final"),
        ("X-Labels", r#"{"a": "1", "a": "2"}"#),
        ("X-Labels", r#"{"a": {"b": "1"}}"#),
        ("X-Correlation-Id", ""),
        ("X-Supersedes", "abc"),
    ] {
        let refused = Answer::of(upload(&node, RECIPIENT).header(name, value)).await;
        let sentence = refused.body["error"].as_str().unwrap().to_owned();
        assert!(sentence.starts_with(name), "{sentence}");
        refused.is_error(422, &sentence, Some(name));
    }
    let twice = upload(&node, RECIPIENT)
        .header("X-Labels", "{}")
        .header("X-Labels", "{}");
    Answer::of(twice)
        .await
        .is_error(422, "X-Labels must be given once, in UTF-8", Some("X-Labels"));
}
