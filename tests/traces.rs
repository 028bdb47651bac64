//! Traces of requests, as a collector and the callers see them.

use std::collections::{BTreeMap, BTreeSet};

use dm_testing::collector::{Collector, Mood, ReceivedSpan};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY,
    copies::{have_copies, watchful},
    data_hash, eventually,
    http::answer,
    receiver::Receiver,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn traceparent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

pub(crate) fn traced(setup: NodeSetup, collector: &Collector) -> NodeSetup {
    setup.env("DM_TRACES__OTLP_URL", &collector.url())
}

async fn start(home: &TempDir, collector: &Collector) -> Node {
    traced(NodeSetup::new(home.path()), collector).start().await
}

/// Shares something with nobody in particular, with these headers.
async fn share(node: &Node, data: &str, headers: &[(&str, &[u8])]) -> Response {
    let body = json!({"data": data, "recipient": SOMEBODY});
    let mut request = node.request(Method::POST, "/share_data").json(&body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// Shares something in the trace of the caller.
pub(crate) async fn share_in_trace(node: &Node, data: &str) -> StatusCode {
    let headers = [("traceparent", traceparent())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_bytes()));
    share(node, data, &headers).await.status()
}

/// The spans of the caller's trace, once these are among them.
pub(crate) async fn trace_with(collector: &Collector, names: &[&str]) -> Vec<ReceivedSpan> {
    eventually(&format!("{names:?} are in the trace"), async || {
        let trace = collector.trace(TRACE);
        let found: BTreeSet<&str> = trace.iter().map(|span| span.name.as_str()).collect();
        names.iter().all(|name| found.contains(name)).then_some(trace)
    })
    .await
}

fn named<'a>(trace: &'a [ReceivedSpan], name: &str) -> &'a ReceivedSpan {
    trace.iter().find(|span| span.name == name).unwrap()
}

#[tokio::test]
async fn a_share_is_one_trace_from_its_request_to_its_anchor() {
    let (home, collector) = (tempdir().unwrap(), Collector::start().await);
    let node = start(&home, &collector).await;
    let answered = share(&node, "followed", &[("traceparent", traceparent().as_bytes())]).await;
    assert_eq!(answered.status(), StatusCode::CREATED);
    let told = answered.headers()["traceparent"].to_str().unwrap().to_owned();
    let steps = [
        "POST /share_data",
        "share",
        "share.store",
        "share.commit",
        "share.record",
        "share.anchor",
    ];
    let trace = trace_with(&collector, &steps).await;
    let request = named(&trace, "POST /share_data");
    assert_eq!(told, format!("00-{TRACE}-{}-01", request.span_id));
    assert_eq!(request.parent_span_id, CALLER);
    assert_eq!(request.attributes["http.response.status_code"], "201");
    let known: BTreeMap<&str, &ReceivedSpan> =
        trace.iter().map(|span| (span.span_id.as_str(), span)).collect();
    assert_eq!(known.len(), trace.len(), "each span has an id of its own");
    for span in &trace {
        let has_place = span.parent_span_id == CALLER || known.contains_key(span.parent_span_id.as_str());
        assert!(has_place, "{span:?}");
        assert!(span.start <= span.end && span.status == 0, "{span:?}");
    }
    let record = named(&trace, "share.record");
    assert_eq!(named(&trace, "share.anchor").parent_span_id, record.span_id);
}

#[tokio::test]
async fn a_trace_goes_on_at_the_peers_that_get_copies() {
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let chain = Devnet::start(homes[0].path()).await;
    let (of_owner, of_peer) = (Collector::start().await, Collector::start().await);
    let owner = watchful(&homes[1], &chain, FUNDED_KEYS[0]);
    let owner = traced(owner, &of_owner).start().await;
    let peer = watchful(&homes[2], &chain, FUNDED_KEYS[1]).peer(&owner);
    let peer = traced(peer, &of_peer).start().await;
    owner.has_peers(1).await;
    assert!(share_in_trace(&owner, "copied").await.is_success());
    have_copies([&peer], &[data_hash(b"copied")], 1).await;
    let at_peer = trace_with(&of_peer, &["peer.offer"]).await;
    let at_owner = trace_with(&of_owner, &["share.distribute", "peer.request"]).await;
    let served = named(&at_peer, "peer.offer");
    assert_eq!(served.kind, 2);
    let asked = at_owner.iter().find(|span| span.span_id == served.parent_span_id);
    let asked = asked.unwrap_or_else(|| panic!("{served:?} is of nobody in {at_owner:#?}"));
    assert_eq!((asked.name.as_str(), asked.kind), ("peer.request", 3));
}

#[tokio::test]
async fn a_receiver_of_events_is_told_the_trace_of_the_share() {
    let (home, collector) = (tempdir().unwrap(), Collector::start().await);
    let node = traced(crate::events::setup(&home), &collector).start().await;
    let receiver = Receiver::start().await;
    let asked = json!({
        "name": "archive", "url": receiver.url(), "topics": ["data.shared", "share.anchored"],
    });
    let (status, answer) = answer(node.internal(Method::POST, "/subscriptions").json(&asked)).await;
    assert!(status.is_success(), "{answer}");
    assert!(share_in_trace(&node, "told").await.is_success());
    let calls = eventually("both events have come", async || {
        Some(receiver.all()).filter(|calls| calls.len() >= 2)
    })
    .await;
    let trace = trace_with(&collector, &["webhook"]).await;
    let trace = eventually("both calls are in the trace", async || {
        let later = collector.trace(TRACE);
        let webhooks = trace.iter().chain(&later).cloned();
        let webhooks: Vec<_> = webhooks.filter(|span| span.name == "webhook").collect();
        let ids: BTreeSet<_> = webhooks.iter().map(|span| span.span_id.clone()).collect();
        (ids.len() >= 2).then_some(ids)
    })
    .await;
    for call in calls {
        let told = call.traceparent.unwrap();
        let span_id = told
            .strip_prefix(&format!("00-{TRACE}-"))
            .and_then(|rest| rest.strip_suffix("-01"));
        assert!(trace.contains(span_id.unwrap()), "{told}: {}", call.event);
    }
}

#[tokio::test]
async fn a_share_that_waits_for_its_anchor_stays_in_its_trace_over_kill_9() {
    let (chain_home, home) = (tempdir().unwrap(), tempdir().unwrap());
    let (before, after) = (Collector::start().await, Collector::start().await);
    let unplugged = Devnet::start(chain_home.path()).await;
    let setup = NodeSetup::new(home.path()).on_chain(&unplugged.url, FUNDED_KEYS[0]);
    let unplugged = unplugged.unplug().await;
    let node = traced(setup, &before).start().await;
    assert_eq!(share_in_trace(&node, "patience").await, StatusCode::ACCEPTED);
    let begun = trace_with(&before, &["share.record"]).await;
    let setup = node.kill().await;
    let _chain = unplugged.plug_in().await;
    let _node = traced(setup, &after).start().await;
    let anchored = trace_with(&after, &["share.anchor"]).await;
    let anchor = named(&anchored, "share.anchor");
    assert_eq!(anchor.parent_span_id, named(&begun, "share.record").span_id);
    assert!(anchor.end > named(&begun, "POST /share_data").end);
}

#[tokio::test]
async fn spans_tell_of_data_and_accounts_only_where_that_is_switched_on() {
    for shows_data in [false, true] {
        let (home, collector) = (tempdir().unwrap(), Collector::start().await);
        let setup = NodeSetup::new(home.path()).env("DM_TRACES__SHOW_DATA", &shows_data.to_string());
        let node = traced(setup, &collector).start().await;
        assert!(share_in_trace(&node, "nobody's business").await.is_success());
        let hash = data_hash(b"nobody's business");
        assert_eq!(node.object(&hash).await.0, StatusCode::OK);
        let trace = trace_with(&collector, &["share", "share.anchor"]).await;
        eventually("the retrieval is told of", async || {
            let mut spans = collector.spans().into_iter();
            spans.find(|span| span.name == "GET /objects/{data_hash}")
        })
        .await;
        let told = named(&trace, "share").attributes.clone();
        assert_eq!(told.contains_key("dm.locator"), shows_data);
        assert_eq!(
            told.get("dm.recipient").map(|told| told.to_lowercase()),
            shows_data.then(|| SOMEBODY.to_lowercase())
        );
        if !shows_data {
            let all = format!("{:?}", collector.received()).to_lowercase();
            for secret in [&hash, &SOMEBODY[2..], &node.address()[2..], "nobody's business"] {
                assert!(!all.contains(&secret.to_lowercase()), "{secret} is in {all}");
            }
        }
    }
}

#[tokio::test]
async fn only_the_part_that_is_set_is_recorded_of_traces_that_begin_here() {
    let (home, collector) = (tempdir().unwrap(), Collector::start().await);
    let setup = NodeSetup::new(home.path()).env("DM_TRACES__SAMPLE_PERCENT", "0");
    let node = traced(setup, &collector).start().await;
    node.must_share("not recorded", SOMEBODY).await;
    assert!(share_in_trace(&node, "asked for").await.is_success());
    trace_with(&collector, &["share.anchor"]).await;
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace_id == TRACE), "{spans:#?}");
}

#[tokio::test]
async fn without_a_collector_requests_have_trace_ids_and_nothing_is_recorded() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_METRICS__LISTEN", "127.0.0.1:0")
        .start()
        .await;
    let answered = share(&node, "alone", &[("traceparent", traceparent().as_bytes())]).await;
    let told = answered.headers()["traceparent"].to_str().unwrap();
    assert!(
        told.starts_with(&format!("00-{TRACE}-")) && !told.contains(CALLER),
        "{told}"
    );
    let page = page(&node).await;
    assert!(
        !page.contains("dm_trace_spans_total") && !page.contains("trace_id"),
        "{page}"
    );
}

async fn page(node: &Node) -> String {
    let url = node.started.metrics.as_deref().unwrap();
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn metrics_give_the_trace_of_a_request_as_an_example() {
    let (home, collector) = (tempdir().unwrap(), Collector::start().await);
    let setup = NodeSetup::new(home.path()).env("DM_METRICS__LISTEN", "127.0.0.1:0");
    let node = traced(setup, &collector).start().await;
    assert!(share_in_trace(&node, "an example").await.is_success());
    trace_with(&collector, &["share.anchor"]).await;
    for series in [
        r#"dm_http_request_duration_seconds_bucket{le="#,
        r#"dm_log_anchor_delay_seconds_bucket{le="#,
    ] {
        let example = format!(r#" # {{trace_id="{TRACE}",span_id=""#);
        eventually(&format!("{series} has an example"), async || {
            let page = page(&node).await;
            assert!(page.ends_with("# EOF\n"));
            let mut lines = page.lines();
            lines
                .any(|line| line.starts_with(series) && line.contains(&example))
                .then_some(())
        })
        .await;
    }
    let exported = r#"dm_trace_spans_total{result="exported"} "#;
    eventually("sent spans are counted", async || {
        let page = page(&node).await;
        let count = page.lines().find_map(|line| line.strip_prefix(exported));
        count.filter(|count| *count != "0.0" && *count != "0").map(drop)
    })
    .await;
}

/// A caller may send anything: none of it is an error of the request, and only what is valid
/// decides the trace.
#[tokio::test]
async fn a_hostile_traceparent_costs_nothing_and_decides_nothing() {
    let (home, collector) = (tempdir().unwrap(), Collector::start().await);
    let node = start(&home, &collector).await;
    let valid = traceparent();
    let long = format!("{valid}-{}", "f".repeat(4000));
    let zeros = valid.replace(TRACE, &"0".repeat(32));
    let (upper, other_version) = (valid.to_uppercase(), valid.replacen("00", "ff", 1));
    let hostile: [&[u8]; 8] = [
        b"",
        b"00",
        b"\xff\xfe\xfd",
        b"00-' OR 1=1 --",
        long.as_bytes(),
        zeros.as_bytes(),
        upper.as_bytes(),
        other_version.as_bytes(),
    ];
    let mut traces = BTreeSet::new();
    for (n, value) in hostile.into_iter().enumerate() {
        let answered = share(&node, &format!("hostile {n}"), &[("traceparent", value)]).await;
        assert!(answered.status().is_success(), "{value:?}");
        let told = answered.headers()["traceparent"].to_str().unwrap().to_owned();
        assert!(!told.contains(TRACE), "{told}");
        assert!(
            traces.insert(told[3..35].to_owned()),
            "a trace of its own: {told}"
        );
    }
    let twice = [
        ("traceparent", valid.as_bytes()),
        ("traceparent", valid.as_bytes()),
    ];
    let answered = share(&node, "twice", &twice).await;
    let told = answered.headers()["traceparent"].to_str().unwrap();
    assert!(!told.contains(TRACE), "{told}");
    // One that loops: what comes back is sent again.
    let mut next = valid;
    for n in 0..20 {
        let answered = share(
            &node,
            &format!("loop {}", n % 2),
            &[("traceparent", next.as_bytes())],
        )
        .await;
        assert!(answered.status().is_success());
        let told = answered.headers()["traceparent"].to_str().unwrap().to_owned();
        assert_eq!((told.len(), &told[3..35]), (55, TRACE));
        assert_ne!(told, next);
        next = told;
    }
}

#[tokio::test]
async fn a_collector_that_refuses_costs_shares_nothing_and_is_told_of() {
    let (home, collector) = (tempdir().unwrap(), Collector::start_in(Mood::Answers(500)).await);
    let setup = NodeSetup::new(home.path()).env("DM_METRICS__LISTEN", "127.0.0.1:0");
    let node = traced(setup, &collector).start().await;
    let hash = node.must_share("all the same", SOMEBODY).await;
    node.verifies(&hash).await;
    let lost = r#"dm_trace_spans_total{result="lost"} "#;
    eventually("lost spans are counted", async || {
        let page = page(&node).await;
        let count = page.lines().find_map(|line| line.strip_prefix(lost));
        count.filter(|count| *count != "0.0" && *count != "0").map(drop)
    })
    .await;
    eventually("health tells of it", async || {
        let (_, health) = answer(node.internal(Method::GET, "/health")).await;
        let part = &health["parts"]["traces"];
        (part["status"] == "degraded" && part["reason"].as_str()?.contains("500")).then_some(())
    })
    .await;
    collector.set_mood(Mood::Takes);
    assert!(share_in_trace(&node, "taken again").await.is_success());
    trace_with(&collector, &["share.anchor"]).await;
}

#[tokio::test]
async fn a_collector_that_hangs_costs_shares_nothing_and_the_node_stops_all_the_same() {
    let (home, collector) = (tempdir().unwrap(), Collector::start_in(Mood::Hangs).await);
    let node = start(&home, &collector).await;
    node.must_share("before it hangs", SOMEBODY).await;
    eventually("the collector is asked", async || {
        (collector.requests() > 0).then_some(())
    })
    .await;
    for n in 0..20 {
        let hash = node.must_share(&format!("while it hangs {n}"), SOMEBODY).await;
        assert_eq!(node.object(&hash).await.0, StatusCode::OK);
    }
    let (_, status, errors) = node.stop().await;
    assert!(status.success(), "{status}: {errors}");
    assert!(collector.spans().is_empty());
}
