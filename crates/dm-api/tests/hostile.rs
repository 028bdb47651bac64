//! Requests that no honest client sends.

use proptest::{prelude::*, test_runner::TestRunner};
use reqwest::Method;
use tokio::io::AsyncWriteExt;

use crate::common::{RECIPIENT, TestConfig, TestNode, raw, start, start_with, watched_store::WatchedStore};

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

fn put_head(node: &TestNode, framing: &str) -> String {
    format!(
        "PUT /objects?recipient={RECIPIENT} HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n{framing}\r\n\r\n",
        node.keys.share
    )
}

/// That the node still serves, and that no upload is left half-stored.
async fn is_unharmed(node: &TestNode) {
    WatchedStore::until(&node.store.writers, |open| *open == 0).await;
    assert_eq!(node.get("/health").await.status, 200);
    assert_eq!(node.get("/compliance_history").await.body["count"], 0);
}

#[actix_web::test]
async fn an_upload_cut_off_in_the_middle_leaves_nothing() {
    let node = start().await;
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut socket = raw::connect(&node.external).await;
        socket
            .write_all(put_head(&node, framing).as_bytes())
            .await
            .unwrap();
        if framing.contains("chunked") {
            socket.write_all(b"80000\r\n").await.unwrap();
        }
        socket.write_all(&vec![7; 400_000]).await.unwrap_or_default();
        WatchedStore::until(&node.store.writers, |open| *open == 1).await;
        drop(socket);
        is_unharmed(&node).await;
    }
}

#[actix_web::test]
async fn a_chunked_body_with_broken_framing_leaves_nothing() {
    let node = start().await;
    for body in [
        "5\r\nhello\r\nzz\r\n",
        "ffffffffffffffffffff\r\n",
        "-1\r\n",
        "5\r\nhelloworld\r\n",
    ] {
        let request = put_head(&node, "Transfer-Encoding: chunked") + body;
        let answer = raw::exchange(&node.external, request.as_bytes()).await;
        assert!(matches!(status(&answer), 0 | 400), "{body}: {answer}");
        is_unharmed(&node).await;
    }
}

#[actix_web::test]
async fn a_body_that_stands_still_is_given_up() {
    let mut setup = TestConfig::default();
    setup.external.idle_timeout_secs = 1;
    let node = start_with(setup).await;
    let post = format!(
        "POST /share_data HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Length: 100\r\n\r\n{{",
        node.keys.share
    );
    let put = put_head(&node, "Content-Length: 100") + "some";
    for request in [post, put] {
        let mut socket = raw::connect(&node.external).await;
        socket.write_all(request.as_bytes()).await.unwrap();
        let answer = raw::read_answer(&mut socket).await;
        assert_eq!(status(&answer), 408, "{answer}");
        assert!(answer.contains("the body stood still for too long"), "{answer}");
        is_unharmed(&node).await;
    }
}

#[actix_web::test]
async fn ambiguous_and_malformed_requests_are_refused() {
    let node = start().await;
    let smuggled = put_head(&node, "Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n";
    let two_lengths = put_head(&node, "Content-Length: 5\r\nContent-Length: 6") + "hello!";
    let many_headers = format!(
        "GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "A: b\r\n".repeat(500)
    );
    let huge_header = format!(
        "GET /health HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
        "b".repeat(300_000)
    );
    for request in [
        smuggled.as_bytes(),
        two_lengths.as_bytes(),
        many_headers.as_bytes(),
        huge_header.as_bytes(),
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /hea\0lth HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-API-Key: a\0b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = raw::exchange(&node.external, request).await;
        assert!(matches!(status(&answer), 0 | 400..=499), "{answer}");
        is_unharmed(&node).await;
    }
}

#[actix_web::test]
async fn a_large_upload_without_a_key_gets_its_refusal() {
    let node = start().await;
    let url = format!("{}/objects?recipient={RECIPIENT}", node.external);
    let answer = node
        .bare(Method::PUT, &url)
        .body(vec![0; 200_000])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    is_unharmed(&node).await;
}

#[test]
fn no_path_query_or_header_brings_the_node_down() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(start());
    let paths = prop_oneof![
        Just("/data/"),
        Just("/objects/"),
        Just("/verify_data/"),
        Just("/receipts/"),
        Just("/compliance_history?filters="),
        Just("/compliance_history?cursor="),
        Just("/network/peers?healthy="),
    ];
    let request = (
        paths,
        "[!-~]{0,80}",
        proptest::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,60}",
    );
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&request, |(path, rest, header, range)| {
            let mut bytes =
                format!("GET {path}{rest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").into_bytes();
            bytes.extend(
                format!("X-API-Key: {}\r\nRange: {range}\r\nIf-Range: ", node.keys.admin).into_bytes(),
            );
            bytes.extend(header.into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
            bytes.extend(b"\r\n\r\n");
            let answer = runtime.block_on(raw::exchange(&node.external, &bytes));
            prop_assert!(matches!(status(&answer), 200..=499), "{answer}");
            Ok(())
        })
        .unwrap();
}
