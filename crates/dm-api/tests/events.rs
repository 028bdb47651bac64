//! `/events` and `/events/stream`.

use std::time::Duration;

use dm_core::{
    news::News,
    ports::{EventJournal, JOURNAL_WINDOW},
};
use dm_testing::waiting::PATIENCE;
use futures::{Stream, StreamExt};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::common::{Answer, RECIPIENT, TestNode, start};

async fn share(node: &TestNode, data: &str) -> String {
    let answer = node.share(&json!({"data": data, "recipient": RECIPIENT})).await;
    answer.body["data_hash"].as_str().unwrap().to_owned()
}

fn subjects(answer: &Answer) -> Vec<&str> {
    let events = answer.body["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["subject"].as_str().unwrap())
        .collect()
}

fn cursor(answer: &Answer) -> &str {
    answer.body["cursor"].as_str().unwrap()
}

#[actix_web::test]
async fn a_share_is_an_event_that_keeps_its_id() {
    let node = start().await;
    let hash = share(&node, "hello").await;
    let answer = node.get("/events?topics=data.shared").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let event = &answer.body["events"][0];
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "datamgmt.data.shared");
    assert_eq!(event["source"], format!("urn:datamgmt:{}", node.address));
    assert_eq!(event["subject"], hash);
    assert_eq!(event["data"]["recipient"], RECIPIENT);
    assert_eq!(node.get("/events?topics=data.*").await.body["events"][0], *event);
}

#[actix_web::test]
async fn a_reader_with_a_cursor_gets_each_event_once_and_in_order() {
    let node = start().await;
    let mut shared = Vec::new();
    for n in 0..5 {
        shared.push(share(&node, &format!("data {n}")).await);
    }
    let mut read = Vec::new();
    let mut path = "/events?topics=data.shared&limit=2".to_owned();
    for expected in [2, 2, 1, 0] {
        let page = node.get(&path).await;
        assert_eq!(subjects(&page).len(), expected);
        read.extend(subjects(&page).into_iter().map(str::to_owned));
        path = format!("/events?topics=data.shared&limit=2&cursor={}", cursor(&page));
    }
    assert_eq!(read, shared);
}

#[actix_web::test]
async fn who_waits_is_answered_when_something_happens() {
    let node = start().await;
    let end = node.get("/events?cursor=now").await;
    assert_eq!(end.body["events"], json!([]));
    let path = format!("/events?topics=data.shared&wait=60&cursor={}", cursor(&end));
    let (answer, hash) = tokio::join!(node.get(&path), share(&node, "hello"));
    assert_eq!(subjects(&answer), [hash]);
}

#[actix_web::test]
async fn who_waits_in_vain_gets_the_place_to_go_on() {
    let node = start().await;
    share(&node, "hello").await;
    let path = "/events?topics=token.added&wait=1";
    let answer = node.get(path).await;
    assert_eq!((answer.status, &answer.body["events"]), (200, &json!([])));
    let again = node.get(&format!("{path}&cursor={}", cursor(&answer))).await;
    assert_eq!(cursor(&again), cursor(&answer));
}

#[actix_web::test]
async fn what_was_forgotten_is_counted() {
    let node = start().await;
    for n in 0..5 {
        share(&node, &format!("data {n}")).await;
    }
    let first = node.get("/events?limit=1").await;
    assert!(first.body.get("missed").is_none());
    let extent = node.catalog.journal_extent().await.unwrap();
    node.catalog.prune_journal(0, 1).await.unwrap();
    let answer = node.get(&format!("/events?cursor={}", cursor(&first))).await;
    assert_eq!(answer.body["missed"], extent.last - 2);
    assert_eq!(answer.body["events"].as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn a_rare_event_is_found_behind_many_others() {
    let node = start().await;
    let many = usize::try_from(2 * JOURNAL_WINDOW).unwrap();
    node.catalog
        .append_news(vec![News::NodeStopping {}; many])
        .await
        .unwrap();
    let hash = share(&node, "hello").await;
    let answer = node.get("/events?topics=data.shared").await;
    assert_eq!(subjects(&answer), [hash]);
}

#[actix_web::test]
async fn odd_questions_are_refused_with_their_field() {
    let node = start().await;
    let wait = "wait must be a number of seconds from 0 to 60";
    let cursor = "cursor is no cursor that this interface has given";
    let elsewhere = "cursor belongs to another journal: this node's catalog was replaced, or the cursor is of another node";
    let limit = "limit must be a number from 1 to 1000";
    for (query, sentence, field) in [
        ("wait=61", wait, "wait"),
        ("wait=-1", wait, "wait"),
        ("wait=soon", wait, "wait"),
        ("limit=0", limit, "limit"),
        ("cursor=1", cursor, "cursor"),
        ("cursor=%00", cursor, "cursor"),
        ("cursor=0000000000000000-1", elsewhere, "cursor"),
    ] {
        let answer = node.get(&format!("/events?{query}")).await;
        answer.is_error(422, sentence, Some(field));
    }
    let unknown = node.get("/events?topics=data.shared,nothing").await;
    assert_eq!((unknown.status, &unknown.body["field"]), (422, &json!("topics")));
    let place = cursor_of(&node).await;
    let (journal, _) = place.split_once('-').unwrap();
    let beyond = node.get(&format!("/events?cursor={journal}-999")).await;
    let sentence = "cursor is beyond the newest event: this node's catalog was restored from a backup";
    beyond.is_error(422, sentence, Some("cursor"));
}

async fn cursor_of(node: &TestNode) -> String {
    cursor(&node.get("/events?cursor=now").await).to_owned()
}

#[actix_web::test]
async fn events_need_a_key_that_may_read() {
    let node = start().await;
    for path in ["/events", "/events/stream"] {
        let url = format!("{}{path}", node.external);
        assert_eq!(Answer::of(node.bare(Method::GET, &url)).await.status, 401);
        let with_share = node.bare(Method::GET, &url).header("X-API-Key", &node.keys.share);
        assert_eq!(Answer::of(with_share).await.status, 403);
    }
}

/// The blocks of a stream of server-sent events.
struct Blocks<S> {
    bytes: S,
    text: String,
}

impl<S, B, E> Blocks<S>
where
    S: Stream<Item = Result<B, E>> + Unpin,
    B: AsRef<[u8]>,
    E: std::fmt::Debug,
{
    /// The next block, if the stream goes on.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let piece = timeout(PATIENCE, self.bytes.next()).await.unwrap()?.unwrap();
            self.text.push_str(std::str::from_utf8(piece.as_ref()).unwrap());
        }
    }

    /// The next event: its id, and its data.
    async fn event(&mut self) -> (String, Value) {
        loop {
            let block = self.next().await.unwrap();
            if block.starts_with(':') {
                continue;
            }
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let data: Value = serde_json::from_str(field("data: ")).unwrap();
            assert_eq!(field("event: "), data["type"]);
            return (field("id: ").to_owned(), data);
        }
    }
}

async fn follow(node: &TestNode, last: Option<&str>) -> Response {
    let mut request = node.external(Method::GET, "/events/stream?topics=data.shared");
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    request.send().await.unwrap()
}

fn blocks(response: Response) -> Blocks<impl Stream<Item = reqwest::Result<impl AsRef<[u8]>>> + Unpin> {
    Blocks {
        bytes: response.bytes_stream(),
        text: String::new(),
    }
}

#[actix_web::test]
async fn a_stream_brings_events_as_they_happen_and_goes_on_after_the_last_one() {
    let node = start().await;
    share(&node, "before the stream").await;
    let response = follow(&node, None).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = blocks(response);
    let first = share(&node, "first").await;
    let (id, event) = stream.event().await;
    assert_eq!(event["subject"], first);
    drop(stream);
    let second = share(&node, "second").await;
    let mut stream = blocks(follow(&node, Some(&id)).await);
    assert_eq!(stream.event().await.1["subject"], second);
    let third = share(&node, "third").await;
    assert_eq!(stream.event().await.1["subject"], third);
}

#[actix_web::test]
async fn a_stream_from_elsewhere_is_refused() {
    let node = start().await;
    for (last, field) in [("rubbish", "Last-Event-ID"), ("0000000000000000-1", "cursor")] {
        let answer = Answer::from(follow(&node, Some(last)).await).await;
        assert_eq!((answer.status, &answer.body["field"]), (422, &json!(field)));
    }
}

#[actix_web::test]
async fn a_stream_ends_with_the_node() {
    let node = start().await;
    let mut stream = blocks(follow(&node, None).await);
    stream.next().await.unwrap();
    node.events.end_waiting();
    while stream.next().await.is_some() {}
    // Nobody waits for an event of a node that stops.
    let late = timeout(Duration::from_secs(30), node.get("/events?cursor=now&wait=60"));
    assert_eq!(late.await.unwrap().body["events"], json!([]));
}
