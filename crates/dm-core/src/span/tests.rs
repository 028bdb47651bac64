#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};

use super::*;

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<EndedSpan>>);

impl SpanSink for Kept {
    fn take(&self, span: EndedSpan) {
        self.0.lock().unwrap().push(span);
    }
}

fn tracer(part: f64, tells_data: bool) -> (Arc<Kept>, Tracer) {
    let kept = Arc::new(Kept::default());
    (kept.clone(), Tracer::new(kept, part, tells_data))
}

fn names(kept: &Kept) -> Vec<String> {
    let spans = kept.0.lock().unwrap();
    spans.iter().map(|span| span.name.to_string()).collect()
}

#[tokio::test]
async fn parts_of_a_request_are_spans_of_its_trace_also_in_tasks_that_it_takes_along() {
    let (kept, tracer) = tracer(1.0, false);
    let request = tracer.begin("request", SpanKind::Server, None);
    let work = async {
        in_child("direct", SpanKind::Internal, async { Ok::<_, ()>(()) })
            .await
            .unwrap();
        let taken =
            in_same_trace(async { in_child("taken", SpanKind::Client, async { Err::<(), _>(()) }).await });
        tokio::spawn(taken).await.unwrap().unwrap_err();
        let left = tokio::spawn(async { Span::child("left", SpanKind::Internal).is_some() });
        assert!(!left.await.unwrap());
    };
    request.run(work).await;
    let of_request = request.context();
    drop(request);
    assert_eq!(names(&kept), ["direct", "taken", "request"]);
    let spans = kept.0.lock().unwrap();
    assert!(
        spans
            .iter()
            .all(|span| span.context.trace_id == of_request.trace_id)
    );
    assert_eq!(spans[0].parent, Some(of_request.span_id));
    assert_eq!((spans[0].has_failed, spans[1].has_failed), (false, true));
    assert_eq!(spans[2].parent, None);
}

#[tokio::test]
async fn where_nobody_is_told_a_trace_has_an_id_and_no_spans() {
    let caller = TraceContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let request = Tracer::default().begin("request", SpanKind::Server, Some(caller));
    let (current, recorded) = request.run(async { (current(), recorded()) }).await;
    assert_eq!(current.unwrap().trace_id, caller.trace_id);
    assert_eq!(recorded, None);
    assert!(!request.is_recorded());
}

#[test]
fn the_caller_decides_whether_its_trace_is_recorded_and_else_the_part_that_is_set() {
    let (kept, tracer) = tracer(0.0, false);
    let mut caller = TraceContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    drop(tracer.begin("own", SpanKind::Server, None));
    drop(tracer.begin("asked for", SpanKind::Server, Some(caller)));
    caller.is_sampled = false;
    drop(tracer.begin("not asked for", SpanKind::Server, Some(caller)));
    assert_eq!(names(&kept), ["asked for"]);
}

#[test]
fn a_span_tells_of_data_only_where_that_is_switched_on() {
    for tells_data in [false, true] {
        let (kept, tracer) = tracer(1.0, tells_data);
        let mut span = tracer.begin("share", SpanKind::Internal, None);
        span.set_data("locator", || "00ff".to_owned());
        drop(span);
        assert_eq!(kept.0.lock().unwrap()[0].values.len(), usize::from(tells_data));
    }
}
