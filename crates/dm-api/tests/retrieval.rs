//! `GET /data` and `GET`, `HEAD /objects`.

use reqwest::{Method, Response, header};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::common::{Answer, NO_DATA, RECIPIENT, TestNode, raw, start, watched_store::WatchedStore};

async fn get_object(node: &TestNode, hash: &str, headers: &[(&'static str, &str)]) -> Response {
    let mut request = node.external(Method::GET, &format!("/objects/{hash}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

fn some_bytes(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 253) as u8).collect()
}

#[actix_web::test]
async fn shared_text_is_read_by_its_hash_in_any_case() {
    let node = start().await;
    let shared = node
        .share(&json!({"data": "hello", "recipient": RECIPIENT}))
        .await;
    let hash = shared.body["data_hash"].as_str().unwrap();
    for asked in [hash.to_owned(), hash.to_uppercase()] {
        let answer = node.get(&format!("/data/{asked}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, json!({"hash": hash, "data": "hello"}));
    }
}

#[actix_web::test]
async fn what_nobody_has_is_not_found() {
    let node = start().await;
    for path in ["/data/", "/objects/", "/receipts/"] {
        node.get(&format!("{path}{NO_DATA}"))
            .await
            .is_error(404, "Data not found", None);
    }
    let head = node.external(Method::HEAD, &format!("/objects/{NO_DATA}"));
    assert_eq!(head.send().await.unwrap().status(), 404);
}

#[actix_web::test]
async fn what_is_no_hash_is_refused() {
    let node = start().await;
    let bad = [
        "abc",
        "zz",
        &"0".repeat(63),
        &"0".repeat(65),
        "%00",
        "..%2f..%2fetc",
    ];
    for path in ["/data/", "/objects/", "/verify_data/", "/receipts/"] {
        for hash in bad {
            let answer = node.get(&format!("{path}{hash}")).await;
            answer.is_error(422, "data_hash must be 64 hexadecimal digits", Some("data_hash"));
        }
    }
}

#[actix_web::test]
async fn data_that_has_no_json_form_is_to_be_had_from_objects() {
    let node = start().await;
    let binary = node.put(vec![0xff; 10]).await;
    let sentence = format!("the data is not UTF-8 text and has no JSON form; get it from /objects/{binary}");
    node.get(&format!("/data/{binary}"))
        .await
        .is_error(422, &sentence, None);
    let large = node.put(vec![b'x'; 1024 * 1024 + 1]).await;
    let sentence =
        format!("the data is larger than 1 MiB and has no JSON form; get it from /objects/{large}");
    node.get(&format!("/data/{large}"))
        .await
        .is_error(422, &sentence, None);
    let largest = node.put(vec![b'x'; 1024 * 1024]).await;
    assert_eq!(node.get(&format!("/data/{largest}")).await.status, 200);
}

#[actix_web::test]
async fn an_object_is_streamed_as_it_was_uploaded() {
    let node = start().await;
    let bytes = some_bytes(2_000_000);
    let hash = node.put(bytes.clone()).await;
    let response = get_object(&node, &hash, &[]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "etag"), format!("\"{hash}\""));
    assert_eq!(header(&response, "accept-ranges"), "bytes");
    assert_eq!(header(&response, "content-length"), "2000000");
    assert_eq!(header(&response, "content-type"), "application/octet-stream");
    assert!(response.bytes().await.unwrap() == bytes);
}

#[actix_web::test]
async fn head_tells_the_size_without_the_bytes() {
    let node = start().await;
    let hash = node.put(some_bytes(1000)).await;
    let request = node.external(Method::HEAD, &format!("/objects/{hash}"));
    let response = request.header("Range", "bytes=0-1").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-length"), "1000");
    assert_eq!(header(&response, "etag"), format!("\"{hash}\""));
    assert!(response.bytes().await.unwrap().is_empty());
}

#[actix_web::test]
async fn every_kind_of_range_is_answered_with_those_bytes() {
    let node = start().await;
    let bytes = some_bytes(600_000);
    let hash = node.put(bytes.clone()).await;
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=100-299", 100, 299),
        ("bytes=262143-262144", 262_143, 262_144),
        ("bytes=599999-", 599_999, 599_999),
        ("bytes=300000-", 300_000, 599_999),
        ("bytes=-5", 599_995, 599_999),
        ("bytes=-9999999", 0, 599_999),
        ("bytes=10-99999999999999999999999999", 10, 599_999),
    ] {
        let response = get_object(&node, &hash, &[("Range", range)]).await;
        assert_eq!(response.status(), 206, "{range}");
        assert_eq!(
            header(&response, "content-range"),
            format!("bytes {first}-{last}/600000")
        );
        assert_eq!(
            header(&response, "content-length"),
            (last - first + 1).to_string()
        );
        assert!(response.bytes().await.unwrap() == bytes[first..=last], "{range}");
    }
}

#[actix_web::test]
async fn ranges_that_are_not_there_are_refused() {
    let node = start().await;
    let hash = node.put(some_bytes(10)).await;
    for range in [
        "bytes=10-",
        "bytes=4-2",
        "bytes=-0",
        "bytes=x-y",
        "bytes",
        "bytes=",
        "bytes=1",
    ] {
        let answer = Answer::from(get_object(&node, &hash, &[("Range", range)]).await).await;
        let sentence = "the Range header asks for nothing that is in the 10 bytes of this object";
        answer.is_error(416, sentence, None);
        assert_eq!(answer.header("content-range"), "bytes */10");
    }
    for range in ["items=0-1", "bytes=0-1,4-5"] {
        assert_eq!(
            get_object(&node, &hash, &[("Range", range)]).await.status(),
            200,
            "{range}"
        );
    }
}

#[actix_web::test]
async fn conditions_are_kept() {
    let node = start().await;
    let hash = node.put(some_bytes(10)).await;
    let etag = format!("\"{hash}\"");
    for (headers, status) in [
        (vec![("If-None-Match", etag.as_str())], 304),
        (vec![("If-None-Match", "*")], 304),
        (vec![("If-None-Match", "\"other\"")], 200),
        (
            vec![("If-None-Match", etag.as_str()), ("Range", "bytes=0-1")],
            304,
        ),
        (vec![("If-Range", etag.as_str()), ("Range", "bytes=0-1")], 206),
        (vec![("If-Range", "\"other\""), ("Range", "bytes=0-1")], 200),
        (vec![("If-Range", "\"other\""), ("Range", "bytes=99-")], 200),
    ] {
        let response = get_object(&node, &hash, &headers).await;
        assert_eq!(response.status(), status, "{headers:?}");
        assert_eq!(response.headers()[header::ETAG], etag);
        if status == 304 {
            assert!(response.bytes().await.unwrap().is_empty());
        }
    }
}

#[actix_web::test]
async fn a_client_that_goes_away_stops_the_work() {
    let node = start().await;
    let hash = node.put(some_bytes(600_000)).await;
    node.store.stuck.send_replace(true);
    let mut socket = raw::connect(&node.external).await;
    let request = format!(
        "GET /objects/{hash} HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n\r\n",
        node.keys.read
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    WatchedStore::until(&node.store.waiting, |waiting| *waiting > 0).await;
    drop(socket);
    WatchedStore::until(&node.store.waiting, |waiting| *waiting == 0).await;
}

#[cfg(target_os = "linux")]
#[actix_web::test]
async fn a_reader_that_takes_nothing_is_cut_off_and_holds_a_part_of_the_object() {
    let mut setup = crate::common::TestConfig::default();
    setup.external.idle_timeout_secs = 1;
    setup.stop_patience = std::time::Duration::from_secs(600);
    let node = crate::common::start_with(setup).await;
    // More than the kernel's buffers take.
    let chunks = 128;
    let hash = node.put(vec![7; chunks * 256 * 1024]).await;
    let mut socket = raw::connect(&node.external).await;
    let request = format!(
        "GET /objects/{hash} HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n\r\n",
        node.keys.read
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    raw::read_head(&mut socket).await;
    // The servers have stopped when no request is in progress any more.
    node.handle.stop().await;
    let read = *node.store.chunks_read.borrow();
    assert!(
        read < chunks as u64,
        "{read} of {chunks} chunks were read for nobody"
    );
    assert!(raw::read_all(socket).await.len() < chunks * 256 * 1024);
}

#[actix_web::test]
async fn a_retrieval_is_explained_where_that_is_asked_for() {
    let node = start().await;
    let shared = node
        .share(&json!({"data": "hello", "recipient": RECIPIENT}))
        .await;
    let hash = shared.body["data_hash"].as_str().unwrap();
    let explained = node.get(&format!("/data/{hash}?explain=true")).await;
    assert_eq!(explained.status, 200);
    assert_eq!(explained.body["data"], "hello");
    assert_eq!(explained.body["explain"]["source"], "store");
    assert_eq!(explained.body["explain"]["chunks"], 1);
    assert_eq!(explained.body["explain"]["complete"], true);
    let not = node.get(&format!("/data/{hash}?explain=false")).await;
    assert_eq!(not.body, json!({"hash": hash, "data": "hello"}));
    node.get(&format!("/data/{hash}?explain=perhaps")).await.is_error(
        422,
        "explain must be true or false",
        Some("explain"),
    );

    let download = get_object(&node, &format!("{hash}?explain=true"), &[]).await;
    let id = header(&download, "X-Retrieval").to_owned();
    assert_eq!(download.bytes().await.unwrap(), "hello");
    let trace = node.get(&format!("/retrievals/{id}")).await;
    assert_eq!(trace.status, 200);
    assert_eq!(trace.body["peers"], json!([]));
    let plain = get_object(&node, hash, &[]).await;
    assert_eq!(header(&plain, "X-Retrieval"), "");
    node.get("/retrievals/00000000000000000000000000000000")
        .await
        .is_error(404, "Data not found", None);
}
