//! `/uploads` speaks tus 1.0: data comes in parts, and is shared with the last one.

use base64::{Engine, engine::general_purpose::STANDARD};
use dm_core::{config::UploadsConfig, hash::DataHash};
use dm_testing::{plugins::SamplePlugin, waiting::eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::common::{Answer, OTHER, RECIPIENT, TestConfig, TestNode, raw, start, start_with};

pub(crate) const OFFSET_STREAM: &str = "application/offset+octet-stream";

pub(crate) fn tus(node: &TestNode, method: Method, path: &str) -> RequestBuilder {
    node.external(method, path).header("Tus-Resumable", "1.0.0")
}

pub(crate) fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key} {}", STANDARD.encode(value)))
        .collect();
    pairs.join(",")
}

fn creation(node: &TestNode, length: u64) -> RequestBuilder {
    tus(node, Method::POST, "/uploads")
        .header("Upload-Length", length)
        .header("Upload-Metadata", metadata(&[("recipients", RECIPIENT)]))
}

/// Begins an upload; its path.
async fn begin(node: &TestNode, length: u64) -> String {
    let begun = Answer::of(creation(node, length)).await;
    assert_eq!(begun.status, 201, "{:?}", begun.body);
    assert_eq!(begun.header("upload-offset"), "0");
    assert!(begun.header("upload-expires").ends_with(" GMT"));
    format!("/{}", begun.header("location"))
}

fn part(node: &TestNode, path: &str, offset: u64, bytes: impl Into<reqwest::Body>) -> RequestBuilder {
    tus(node, Method::PATCH, path)
        .header("Content-Type", OFFSET_STREAM)
        .header("Upload-Offset", offset)
        .body(bytes)
}

async fn offset(node: &TestNode, path: &str) -> u64 {
    let answer = Answer::of(tus(node, Method::HEAD, path)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.header("upload-offset").parse().unwrap()
}

#[actix_web::test]
async fn data_comes_in_parts_and_is_shared_with_the_last_one() {
    let node = start().await;
    let path = begin(&node, 11).await;
    let first = Answer::of(part(&node, &path, 0, "hello")).await;
    assert_eq!(first.status, 204, "{:?}", first.body);
    assert_eq!(first.header("upload-offset"), "5");
    assert_eq!(first.header("tus-resumable"), "1.0.0");
    let head = Answer::of(tus(&node, Method::HEAD, &path)).await;
    assert_eq!(head.header("upload-length"), "11");
    let under_way = node.get(&path).await;
    assert_eq!(under_way.status, 202);
    assert_eq!(under_way.body["status"], "uploading");
    assert_eq!(under_way.body["offset"], 5);
    let last = Answer::of(part(&node, &path, 5, " world")).await;
    assert_eq!((last.status, last.header("upload-offset")), (204, "11"));
    let shared = node.get(&path).await;
    assert_eq!(shared.status, 201, "{:?}", shared.body);
    let repeated = node
        .share(&json!({"data": "hello world", "recipient": RECIPIENT}))
        .await;
    assert_eq!(
        repeated.body, shared.body,
        "it answers what POST /share_data would"
    );
    assert_eq!(offset(&node, &path).await, 11);
    let nothing = Answer::of(part(&node, &path, 11, "")).await;
    assert_eq!(nothing.status, 204);
}

#[actix_web::test]
async fn the_same_bytes_as_one_put_have_the_same_hash() {
    let node = start().await;
    let bytes: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    let path = begin(&node, bytes.len() as u64).await;
    let mut sent = 0;
    for size in [1, 262_143, 262_145, 100_000, 75_711] {
        let piece = bytes[sent..sent + size].to_vec();
        let answer = Answer::of(part(&node, &path, sent as u64, piece)).await;
        assert_eq!(answer.status, 204, "{:?}", answer.body);
        sent += size;
    }
    assert_eq!(sent, bytes.len());
    let hash = node.get(&path).await.body["data_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(hash, DataHash::of(&bytes).to_string());
    assert_eq!(hash, node.put(bytes).await);
}

#[actix_web::test]
async fn the_first_bytes_can_come_with_the_request_that_begins_the_upload() {
    let node = start().await;
    let request = creation(&node, 11)
        .header("Content-Type", OFFSET_STREAM)
        .body("hello");
    let begun = Answer::of(request).await;
    assert_eq!(
        (begun.status, begun.header("upload-offset")),
        (201, "5"),
        "{:?}",
        begun.body
    );
    let whole = creation(&node, 5)
        .header("Content-Type", OFFSET_STREAM)
        .body("whole");
    let begun = Answer::of(whole).await;
    let path = format!("/{}", begun.header("location"));
    assert_eq!(
        node.get(&path).await.body["data_hash"],
        DataHash::of(b"whole").to_string()
    );
    let other = creation(&node, 5)
        .header("Content-Type", "text/plain")
        .body("whole");
    assert_eq!(Answer::of(other).await.status, 415);
}

#[actix_web::test]
async fn what_is_said_of_the_data_is_its_descriptor() {
    let node = start().await;
    let said = metadata(&[
        ("recipients", RECIPIENT),
        ("name", "übersicht.pdf"),
        ("media_type", "application/pdf"),
        ("labels", r#"{"project": "a"}"#),
        ("correlation_id", "order-7"),
        ("supersedes", &"ab".repeat(32)),
    ]);
    let request = tus(&node, Method::POST, "/uploads")
        .header("Upload-Length", 5)
        .header("Upload-Metadata", said)
        .header("Content-Type", OFFSET_STREAM)
        .body("bytes");
    assert_eq!(Answer::of(request).await.status, 201);
    let object =
        Answer::of(node.external(Method::HEAD, &format!("/objects/{}", DataHash::of(b"bytes")))).await;
    assert_eq!(object.header("content-type"), "application/pdf");
    assert_eq!(
        object.header("content-disposition"),
        "attachment; filename*=UTF-8''%C3%BCbersicht.pdf"
    );
}

#[actix_web::test]
async fn metadata_that_is_not_valid_is_refused_and_its_field_named() {
    let node = start().await;
    let over = "2001-01-01T00:00:00Z";
    for (pairs, status, field) in [
        (vec![], 422, "recipients"),
        (vec![("recipients", "nobody")], 422, "recipients"),
        (vec![("recipients", "0x1,0x2")], 422, "recipients"),
        (
            vec![("recipients", &format!("{RECIPIENT}, {RECIPIENT}"))],
            422,
            "recipients",
        ),
        (
            vec![("recipients", RECIPIENT), ("name", "../secret")],
            422,
            "name",
        ),
        (vec![("recipients", RECIPIENT), ("labels", "[1]")], 422, "labels"),
        (
            vec![("recipients", RECIPIENT), ("media_type", "pdf")],
            422,
            "media_type",
        ),
        (
            vec![("recipients", RECIPIENT), ("supersedes", "7")],
            422,
            "supersedes",
        ),
        (
            vec![("recipients", RECIPIENT), ("expires_at", "soon")],
            422,
            "expires_at",
        ),
        (
            vec![("recipients", RECIPIENT), ("expires_at", over)],
            422,
            "expires_at",
        ),
        (
            vec![("recipients", RECIPIENT), ("payment_amount", "5")],
            422,
            "payment_token",
        ),
        (
            vec![("recipients", RECIPIENT), ("filename", "a")],
            422,
            "Upload-Metadata",
        ),
    ] {
        let request = tus(&node, Method::POST, "/uploads")
            .header("Upload-Length", 5)
            .header("Upload-Metadata", metadata(&pairs));
        let answer = Answer::of(request).await;
        assert_eq!(
            (answer.status, answer.body["field"].as_str()),
            (status, Some(field)),
            "{pairs:?} {:?}",
            answer.body
        );
        assert_eq!(answer.header("tus-resumable"), "1.0.0");
    }
}

#[actix_web::test]
async fn the_protocol_says_what_it_offers_and_refuses_other_versions() {
    let node = start().await;
    let options = Answer::of(node.external(Method::OPTIONS, "/uploads")).await;
    assert_eq!(options.status, 204);
    for (name, value) in [
        ("tus-version", "1.0.0"),
        ("tus-resumable", "1.0.0"),
        ("tus-checksum-algorithm", "sha1,sha256"),
        (
            "tus-extension",
            "creation,creation-with-upload,expiration,termination,checksum",
        ),
        ("tus-max-size", "274877906944"),
    ] {
        assert_eq!(options.header(name), value);
    }
    let path = begin(&node, 5).await;
    for method in [Method::HEAD, Method::PATCH, Method::DELETE] {
        for version in [None, Some("0.2.2")] {
            let mut request = node.external(method.clone(), &path);
            if let Some(version) = version {
                request = request.header("Tus-Resumable", version);
            }
            let answer = Answer::of(request).await;
            assert_eq!(
                (answer.status, answer.header("tus-version")),
                (412, "1.0.0"),
                "{method}"
            );
        }
    }
    assert_eq!(offset(&node, &path).await, 0);
}

#[actix_web::test]
async fn bytes_that_do_not_fit_are_refused_and_change_nothing() {
    let node = start().await;
    let path = begin(&node, 5).await;
    Answer::of(part(&node, &path, 0, "ab")).await;
    let wrong_place = Answer::of(part(&node, &path, 1, "b")).await;
    assert_eq!(
        (wrong_place.status, wrong_place.header("upload-offset")),
        (409, "2")
    );
    let too_long = Answer::of(part(&node, &path, 2, "cdef")).await;
    assert_eq!(too_long.status, 413, "{:?}", too_long.body);
    let wrong_type = tus(&node, Method::PATCH, &path)
        .header("Content-Type", "text/plain")
        .header("Upload-Offset", 2)
        .body("c");
    assert_eq!(Answer::of(wrong_type).await.status, 415);
    let encoded = part(&node, &path, 2, "c").header("Content-Encoding", "gzip");
    assert_eq!(Answer::of(encoded).await.status, 415);
    for text in ["", "-1", "two", "2.0"] {
        let request = tus(&node, Method::PATCH, &path)
            .header("Content-Type", OFFSET_STREAM)
            .header("Upload-Offset", text);
        let answer = Answer::of(request.body("c")).await;
        assert_eq!(
            (answer.status, answer.body["field"].as_str()),
            (422, Some("Upload-Offset"))
        );
    }
    assert_eq!(offset(&node, &path).await, 2);
}

#[actix_web::test]
async fn a_body_counts_only_with_the_checksum_that_it_comes_with() {
    let node = start().await;
    let path = begin(&node, 22).await;
    let sums = [
        "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
    ];
    for (at, sum) in [0, 11].into_iter().zip(sums) {
        let damaged = part(&node, &path, at, "hello worle").header("Upload-Checksum", sum);
        assert_eq!(Answer::of(damaged).await.status, 460, "{sum}");
        assert_eq!(offset(&node, &path).await, at);
        let whole = part(&node, &path, at, "hello world").header("Upload-Checksum", sum);
        assert_eq!(Answer::of(whole).await.status, 204, "{sum}");
    }
    for sum in ["md5 XrY7u+Ae7tCTyyK7j1rNww==", "sha1 x", "sha1"] {
        let request = part(&node, &path, 22, "").header("Upload-Checksum", sum);
        let answer = Answer::of(request).await;
        assert_eq!(
            (answer.status, answer.body["field"].as_str()),
            (422, Some("Upload-Checksum"))
        );
    }
    let hash = DataHash::of(b"hello worldhello world").to_string();
    assert_eq!(node.get(&path).await.body["data_hash"], hash);
}

#[actix_web::test]
async fn what_has_come_of_a_broken_connection_counts() {
    let node = start().await;
    let path = begin(&node, 400_000).await;
    let mut socket = raw::connect(&node.external).await;
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: {OFFSET_STREAM}\r\nContent-Length: 400000\r\n\r\n",
        node.keys.admin
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![7; 300_000]).await.unwrap();
    socket.shutdown().await.unwrap();
    drop(socket);
    let at = eventually("what has come is durable", async || {
        let at = offset(&node, &path).await;
        (at > 0).then_some(at)
    })
    .await;
    assert!(at <= 300_000);
    let rest = Answer::of(part(&node, &path, at, vec![7; 400_000 - at as usize])).await;
    assert_eq!(rest.status, 204, "{:?}", rest.body);
    let hash = DataHash::of(&vec![7; 400_000]).to_string();
    assert_eq!(node.get(&path).await.body["data_hash"], hash);
}

#[actix_web::test]
async fn an_upload_is_of_nobody_but_its_key() {
    let node = start().await;
    let path = begin(&node, 5).await;
    for method in [Method::HEAD, Method::PATCH, Method::DELETE, Method::GET] {
        let request = node
            .bare(method.clone(), &format!("{}{path}", node.external))
            .header("X-API-Key", &node.keys.share)
            .header("Tus-Resumable", "1.0.0")
            .header("Content-Type", OFFSET_STREAM)
            .header("Upload-Offset", 0);
        assert_eq!(Answer::of(request).await.status, 404, "{method}");
    }
    for name in ["0".repeat(32), "..%2f..".to_owned(), "x".to_owned()] {
        let unknown = Answer::of(tus(&node, Method::HEAD, &format!("/uploads/{name}"))).await;
        assert_eq!(unknown.status, 404, "{name}");
    }
}

#[actix_web::test]
async fn a_deleted_upload_is_gone_also_by_another_method() {
    let node = start().await;
    let path = begin(&node, 5).await;
    assert_eq!(Answer::of(tus(&node, Method::DELETE, &path)).await.status, 204);
    assert_eq!(Answer::of(tus(&node, Method::HEAD, &path)).await.status, 404);

    let path = begin(&node, 5).await;
    let overridden = |method: &str| tus(&node, Method::POST, &path).header("X-HTTP-Method-Override", method);
    let sent = overridden("PATCH")
        .header("Content-Type", OFFSET_STREAM)
        .header("Upload-Offset", 0)
        .body("ab");
    let sent = Answer::of(sent).await;
    assert_eq!((sent.status, sent.header("upload-offset")), (204, "2"));
    assert_eq!(Answer::of(overridden("PUT")).await.status, 422);
    assert_eq!(Answer::of(overridden("DELETE")).await.status, 204);
    assert_eq!(Answer::of(tus(&node, Method::HEAD, &path)).await.status, 404);
}

#[actix_web::test]
async fn uploads_have_bounds() {
    let node = start_with(TestConfig {
        uploads: UploadsConfig {
            max_unfinished: 2,
            max_unfinished_per_key: 2,
            max_unfinished_bytes: 1000,
            max_unfinished_bytes_per_key: 1000,
            ..UploadsConfig::default()
        },
        ..TestConfig::default()
    })
    .await;
    let too_large = Answer::of(creation(&node, 1001)).await;
    assert_eq!(too_large.status, 413, "{:?}", too_large.body);
    begin(&node, 1).await;
    begin(&node, 1).await;
    let too_many = Answer::of(creation(&node, 1)).await;
    assert_eq!((too_many.status, too_many.header("retry-after")), (429, "60"));
    let by_other_key = creation(&node, 1).build().unwrap();
    let mut headers = by_other_key.headers().clone();
    headers.insert("x-api-key", node.keys.share.parse().unwrap());
    let no_room = node
        .bare(Method::POST, by_other_key.url().as_str())
        .headers(headers);
    assert_eq!(Answer::of(no_room).await.status, 507);
}

#[actix_web::test]
async fn what_a_plugin_refuses_ends_the_upload() {
    let node = start_with(TestConfig {
        plugins: vec![std::sync::Arc::new(SamplePlugin::default())],
        ..TestConfig::default()
    })
    .await;
    // The sample refuses data of one byte.
    let path = begin(&node, 1).await;
    let refused = Answer::of(part(&node, &path, 0, "a")).await;
    assert_eq!(refused.status, 403, "{:?}", refused.body);
    assert_eq!(Answer::of(tus(&node, Method::HEAD, &path)).await.status, 404);
    let path = begin(&node, 2).await;
    assert_eq!(Answer::of(part(&node, &path, 0, "ab")).await.status, 204);
    assert_eq!(node.get(&path).await.status, 201);
}

#[actix_web::test]
async fn a_key_that_may_only_read_has_no_uploads() {
    let node = start().await;
    let request = node
        .bare(Method::POST, &format!("{}/uploads", node.external))
        .header("X-API-Key", &node.keys.read)
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", 5)
        .header("Upload-Metadata", metadata(&[("recipients", OTHER)]));
    assert_eq!(Answer::of(request).await.status, 403);
}
