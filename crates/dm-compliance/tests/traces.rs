//! The trace of a share ends with its anchor, whoever has recorded it.

use std::sync::{Arc, Mutex};

use dm_core::span::{EndedSpan, Span, SpanKind, SpanSink, Tracer};
use dm_testing::waiting::eventually;

use crate::support::{Life, chain::SimulatedChain, events::MemoryEvents};

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<EndedSpan>>);

impl SpanSink for Kept {
    fn take(&self, span: EndedSpan) {
        self.0.lock().unwrap().push(span);
    }
}

impl Kept {
    async fn anchors(&self, count: usize) -> Vec<EndedSpan> {
        eventually("the anchors are told of", async || {
            let mut spans = self.0.lock().unwrap().clone();
            spans.retain(|span| span.name == "share.anchor");
            (spans.len() >= count).then_some(spans)
        })
        .await
    }
}

fn tracer() -> (Arc<Kept>, Tracer) {
    let kept = Arc::new(Kept::default());
    (kept.clone(), Tracer::new(kept, 1.0, false))
}

fn request(tracer: &Tracer) -> Span {
    tracer.begin("request", SpanKind::Server, None)
}

#[tokio::test(start_paused = true)]
async fn an_event_is_anchored_in_the_trace_of_its_request_and_others_in_none() {
    let (events, chain, (kept, tracer)) = (MemoryEvents::default(), SimulatedChain::new(), tracer());
    let life = Life::start_traced(&events, &chain, &tracer).await;
    let request = request(&tracer);
    let traced = request.run(life.record(0)).await;
    let plain = life.record(1).await;
    life.anchor_of(traced.max(plain)).await;
    let anchors = kept.anchors(1).await;
    assert_eq!(anchors.len(), 1);
    assert_eq!(anchors[0].context.trace_id, request.context().trace_id);
    assert_eq!(anchors[0].parent, Some(request.context().span_id));
    assert!(anchors[0].began_at <= anchors[0].ended_at);
}

#[tokio::test(start_paused = true)]
async fn the_next_life_ends_the_traces_of_the_one_before_also_by_an_anchor_that_it_finds() {
    for is_sent in [false, true] {
        let (events, chain, (_, before)) = (MemoryEvents::default(), SimulatedChain::new(), tracer());
        let life = Life::start_traced(&events, &chain, &before).await;
        chain.hold_back();
        let request = request(&before);
        let index = request.run(life.record(0)).await;
        chain.until_submitted(1).await;
        life.kill();
        if is_sent {
            chain.mine();
        }
        let (kept, after) = tracer();
        let life = Life::start_traced(&events, &chain, &after).await;
        if !is_sent {
            chain.until_submitted(2).await;
            chain.mine();
        }
        life.anchor_of(index).await;
        let anchors = kept.anchors(1).await;
        assert_eq!(anchors[0].parent, Some(request.context().span_id), "{is_sent}");
    }
}
