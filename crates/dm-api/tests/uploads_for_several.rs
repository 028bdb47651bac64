//! Uploads that name several recipients.

use reqwest::Method;
use serde_json::json;

use crate::{
    common::{Answer, OTHER, RECIPIENT, start},
    uploads::{OFFSET_STREAM, metadata, tus},
};

#[actix_web::test]
async fn several_recipients_of_an_upload_have_a_share_each() {
    let node = start().await;
    let listed = format!("{RECIPIENT}, {}", OTHER.to_lowercase());
    let request = tus(&node, Method::POST, "/uploads")
        .header("Upload-Length", 5)
        .header("Upload-Metadata", metadata(&[("recipients", &listed)]))
        .header("Idempotency-Key", "k")
        .header("Content-Type", OFFSET_STREAM)
        .body("bytes");
    let begun = Answer::of(request).await;
    assert_eq!(begun.status, 201, "{:?}", begun.body);
    let path = format!("/{}", begun.header("location"));
    let shared = node.get(&path).await;
    assert_eq!(shared.status, 201, "{:?}", shared.body);
    let whole = node
        .external(Method::POST, "/share_data")
        .header("Idempotency-Key", "k");
    let again = Answer::of(whole.json(&json!({"data": "bytes", "recipients": [OTHER, RECIPIENT]}))).await;
    assert_eq!(again.status, 201, "it is the same request: {:?}", again.body);
    assert_eq!(again.body["shares"][1], shared.body["shares"][0]);
    assert_eq!(again.body["shares"][0], shared.body["shares"][1]);
    assert_eq!(shared.body["shares"].as_array().unwrap().len(), 2);
}

#[actix_web::test]
async fn a_recipient_that_the_key_of_an_upload_is_not_for_has_an_outcome_of_its_own() {
    let node = start().await;
    let key = json!({"name": "narrowed", "scopes": ["share"], "recipients": [RECIPIENT]});
    let key = node.post_internal("/api_keys", &key).await.body["key"].clone();
    let with_key = |method: Method, path: &str| {
        let request = node.bare(method, &format!("{}{path}", node.external));
        let request = request.header("X-API-Key", key.as_str().unwrap());
        request.header("Tus-Resumable", "1.0.0")
    };
    let begin = async |recipients: &[&str]| {
        let request = with_key(Method::POST, "/uploads")
            .header("Upload-Length", 5)
            .header(
                "Upload-Metadata",
                metadata(&[("recipients", &recipients.join(","))]),
            )
            .header("Content-Type", OFFSET_STREAM)
            .body("bytes");
        Answer::of(request).await
    };
    let begun = begin(&[OTHER, RECIPIENT]).await;
    assert_eq!(begun.status, 201, "{:?}", begun.body);
    let shared = Answer::of(with_key(Method::GET, &format!("/{}", begun.header("location")))).await;
    assert_eq!(shared.status, 201, "{:?}", shared.body);
    let shares = &shared.body["shares"];
    assert_eq!(
        (&shares[0]["code"], &shares[0]["recipient"]),
        (&json!(403), &json!(OTHER))
    );
    assert_eq!(shares[1]["status"], "anchored");
    let nobody = begin(&[OTHER]).await;
    assert_eq!(
        (nobody.status, &nobody.body["field"]),
        (403, &json!("recipients"))
    );
}
