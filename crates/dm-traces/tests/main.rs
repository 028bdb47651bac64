//! The crate's public face, against a collector that knows the public protocol alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use dm_core::{
    health::Finding,
    ports::HealthCheck,
    span::{SpanKind, TraceContext, Tracer},
};
use dm_testing::{
    collector::{Collector, Mood},
    waiting::eventually,
};
use dm_traces::{CollectorHealth, Exporter, ExporterConfig, InvalidCollector};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An exporter that works until it is told to stop.
struct Running {
    exporter: Exporter,
    tracer: Tracer,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(url: String) -> Self {
        let version = "1.2.3";
        let exporter = Exporter::new(&ExporterConfig { url, version }).unwrap();
        let (running, shutdown) = (exporter.clone(), CancellationToken::new());
        let stop = shutdown.clone();
        Self {
            tracer: exporter.tracer(1.0, false),
            task: tokio::spawn(async move { running.run(stop).await.unwrap() }),
            exporter,
            shutdown,
        }
    }

    fn tell(&self, spans: usize) {
        for _ in 0..spans {
            drop(self.tracer.begin("work", SpanKind::Internal, None));
        }
    }

    async fn stop(self) -> Exporter {
        self.shutdown.cancel();
        self.task.await.unwrap();
        self.exporter
    }
}

#[tokio::test]
async fn a_collector_gets_spans_as_the_protocol_says() {
    let collector = Collector::start().await;
    let running = Running::start(collector.url());
    let caller = TraceContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let mut span = running
        .tracer
        .begin("GET /data/{data_hash}", SpanKind::Server, Some(caller));
    span.set("http.route", "/data/{data_hash}");
    span.set("http.response.status_code", 500);
    span.fail();
    let span_id = span.context().span_id.to_string();
    drop(span);
    let spans = eventually("the span has come", async || {
        Some(collector.spans()).filter(|spans| !spans.is_empty())
    })
    .await;
    assert_eq!(spans.len(), 1);
    let span = &spans[0];
    assert_eq!(span.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        (span.span_id.as_str(), span.parent_span_id.as_str()),
        (span_id.as_str(), "b7ad6b7169203331")
    );
    assert_eq!(span.name, "GET /data/{data_hash}");
    assert_eq!((span.kind, span.status), (2, 2));
    assert!(span.start > 1_600_000_000_000_000_000 && span.end >= span.start);
    assert_eq!(span.attributes["http.route"], "/data/{data_hash}");
    assert_eq!(span.attributes["http.response.status_code"], "500");
    let resource = &collector.received()[0].resource;
    assert_eq!(resource["service.name"], "dm-node");
    assert_eq!(resource["service.version"], "1.2.3");
    assert_eq!(resource["service.instance.id"].len(), 32);
    assert_eq!(running.stop().await.meter().exported.value(), 1);
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_nothing_else() {
    let collector = Collector::start_in(Mood::Hangs).await;
    let running = Running::start(collector.url());
    running.tell(1);
    eventually("a request has come", async || {
        (collector.requests() > 0).then_some(())
    })
    .await;
    // Whoever tells of a span does not wait: this is one thread with the exporter.
    running.tell(100_000);
    let meter = running.exporter.meter();
    assert!(meter.dropped.value() >= 100_000 - 8192);
    assert_eq!(meter.exported.value(), 0);
    let exporter = running.stop().await;
    let meter = exporter.meter();
    assert_eq!(
        meter.dropped.value() + meter.lost.value(),
        100_001,
        "all are counted"
    );
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_the_spans_that_waited_and_health_tells_of_it() {
    let collector = Collector::start_in(Mood::Answers(503)).await;
    let running = Running::start(collector.url());
    let health = CollectorHealth(running.exporter.clone());
    assert_eq!(health.check().await, Finding::Working);
    running.tell(3);
    let trouble = eventually("health tells of it", async || match health.check().await {
        Finding::Degraded(trouble) => Some(trouble),
        _ => None,
    })
    .await;
    assert!(trouble.reason.contains("503"), "{}", trouble.reason);
    assert!(trouble.since.is_some());
    collector.set_mood(Mood::Takes);
    eventually("the spans have come", async || {
        (collector.spans().len() == 3).then_some(())
    })
    .await;
    eventually("health is well", async || {
        (health.check().await == Finding::Working).then_some(())
    })
    .await;
    let exporter = running.stop().await;
    assert_eq!(
        (exporter.meter().exported.value(), exporter.meter().lost.value()),
        (3, 0)
    );
}

#[tokio::test]
async fn what_a_collector_refuses_for_good_is_lost_and_counted() {
    let collector = Collector::start_in(Mood::Answers(400)).await;
    let running = Running::start(collector.url());
    running.tell(2);
    eventually("the spans are lost", async || {
        (running.exporter.meter().lost.value() == 2).then_some(())
    })
    .await;
    assert_eq!(collector.requests(), 1, "it was asked once");
    running.stop().await;
}

#[tokio::test]
async fn what_waits_is_sent_when_the_node_stops() {
    let collector = Collector::start().await;
    let running = Running::start(collector.url());
    running.tell(3000);
    let exporter = running.stop().await;
    assert_eq!(collector.spans().len(), 3000);
    assert_eq!(exporter.meter().exported.value(), 3000);
}

#[test]
fn what_is_no_url_is_named() {
    let version = "1.2.3";
    let url = "http://".to_owned();
    let refused = Exporter::new(&ExporterConfig { url, version }).err();
    assert!(matches!(refused, Some(InvalidCollector::Url(_))), "{refused:?}");
}
