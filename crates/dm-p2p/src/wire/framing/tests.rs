use dm_core::{
    hash::DataHash,
    span::{EndedSpan, Span, SpanKind, SpanSink, Tracer},
};
use futures::io::Cursor;
use proptest::prelude::*;

use super::{
    super::{OfferAnswer, Refusal, Reply, Request},
    *,
};

fn wire(bytes: Vec<u8>) -> Wire<Cursor<Vec<u8>>> {
    wire_of(Version::Two, bytes)
}

fn wire_of(version: Version, bytes: Vec<u8>) -> Wire<Cursor<Vec<u8>>> {
    Wire::new(
        Cursor::new(bytes),
        version,
        Arc::default(),
        Duration::from_secs(5),
    )
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn framed<T: Message>(message: &T) -> Vec<u8> {
    run(framed_in(Version::Two, message))
}

async fn framed_in<T: Message>(version: Version, message: &T) -> Vec<u8> {
    let mut sender = wire_of(version, Vec::new());
    sender.send(message).await.unwrap();
    sender.stream.inner.into_inner()
}

fn messages() -> impl Strategy<Value = Request> {
    let id = (any::<[u8; 32]>(), any::<[u8; 20]>()).prop_map(|(data, owner)| dm_core::envelope::ObjectId {
        locator: DataHash::of(&data).locator(),
        owner: owner.into(),
    });
    (id, any::<u64>(), any::<u32>(), 0..6u8).prop_map(|(id, first, count, kind)| match kind {
        0 => Request::Envelopes { locator: id.locator },
        1 => Request::Names { id, first, count },
        2 => Request::Chunks { id, first, count },
        3 => Request::FindEnvelopes {
            locator: id.locator,
            owners: vec![id.owner; 3],
            after: (count % 2 == 0).then_some(id.owner),
        },
        4 => Request::Announce { count },
        _ => Request::Offer { envelope_len: count },
    })
}

#[test]
fn an_announced_length_above_the_limit_is_refused_before_it_is_read() {
    run(async {
        let error = wire(Vec::new())
            .receive_bytes(usize::MAX, 1024)
            .await
            .unwrap_err();
        assert!(error.is_misbehaviour());
        let error = wire(vec![0xff, 0xff]).receive::<Request>().await.unwrap_err();
        assert!(error.is_misbehaviour());
    });
}

#[test]
fn the_end_between_messages_is_told_from_the_end_within_one() {
    run(async {
        assert!(matches!(
            wire(Vec::new()).receive::<Request>().await,
            Err(WireError::Closed)
        ));
        assert!(matches!(
            wire(vec![0]).receive::<Request>().await,
            Err(WireError::Io(_))
        ));
    });
}

#[test]
fn replies_are_read_as_they_were_written() {
    for reply in [
        Reply::Envelopes {
            lengths: vec![1, 2, 3],
        },
        Reply::Names { count: 7 },
        Reply::Chunk { len: 262_217 },
        Reply::Missing,
        Reply::OfferAnswer(OfferAnswer::Held),
        Reply::OfferAnswer(OfferAnswer::Refused(Refusal::Stale)),
        Reply::EnvelopePage {
            lengths: vec![1, 2],
            next: Some([7; 20].into()),
        },
        Reply::Announced { kept: 3 },
    ] {
        assert_eq!(run(wire(framed(&reply)).receive::<Reply>()).unwrap(), reply);
    }
}

#[test]
fn a_kind_that_a_version_does_not_have_is_neither_sent_nor_a_breach() {
    let later = Request::Announce { count: 1 };
    run(async {
        let sent = wire_of(Version::One, Vec::new()).send(&later).await;
        assert!(matches!(sent, Err(WireError::Unsupported)));
        let mut older = wire_of(Version::One, framed_in(Version::Two, &later).await);
        let error = older.receive::<Request>().await.unwrap_err();
        assert!(matches!(error, WireError::Unsupported) && !error.is_misbehaviour());
        let mut answered = wire(framed_in(Version::Two, &Reply::Unsupported).await);
        assert!(matches!(
            answered.receive::<Reply>().await,
            Err(WireError::Unsupported)
        ));
        // Of a version that nobody knows yet.
        let mut unheard_of = wire(vec![0, 2, 99, 1]);
        assert!(matches!(
            unheard_of.receive::<Reply>().await,
            Err(WireError::Unsupported)
        ));
    });
}

#[test]
fn each_version_has_all_kinds_of_the_ones_before_it() {
    assert!(Version::ALL.is_sorted_by(|newer, older| newer > older));
    let kinds = Version::ALL.map(|version| (Request::kinds(version), Reply::kinds(version)));
    assert!(kinds.is_sorted_by(|newer, older| newer.0 >= older.0 && newer.1 >= older.1));
}

#[derive(Debug)]
struct Nobody;

impl SpanSink for Nobody {
    fn take(&self, _: EndedSpan) {}
}

fn recorded_span() -> Span {
    Tracer::new(Arc::new(Nobody), 1.0, false).begin("test", SpanKind::Internal, None)
}

#[test]
fn a_request_says_its_trace_in_the_version_that_has_a_place_for_it_alone() {
    let (span, request) = (recorded_span(), Request::Peers);
    run(async {
        for version in Version::ALL {
            let bytes = span.run(framed_in(version, &request)).await;
            let mut received = wire_of(version, bytes);
            assert_eq!(received.receive::<Request>().await.unwrap(), request);
            let told = (version >= Version::Four).then_some(span.context());
            assert_eq!(received.trace(), told, "{version:?}");
        }
        let reply = Reply::Missing;
        let answered = span.run(framed_in(Version::Four, &reply)).await;
        assert_eq!(answered, framed_in(Version::Four, &reply).await);
    });
}

#[test]
fn a_trace_ends_with_its_request_and_one_that_is_none_counts_as_nothing() {
    let (span, request) = (recorded_span(), Request::Peers);
    run(async {
        let mut bytes = span.run(framed_in(Version::Four, &request)).await;
        bytes.extend(framed_in(Version::Four, &request).await);
        let mut received = wire_of(Version::Four, bytes);
        for told in [true, false] {
            assert_eq!(received.receive::<Request>().await.unwrap(), request);
            assert_eq!(received.trace().is_some(), told);
        }
        let mut zeros = span.run(framed_in(Version::Four, &request)).await;
        let trace = zeros.len() - TraceContext::BYTES;
        zeros[trace..].fill(0);
        let mut received = wire_of(Version::Four, zeros);
        assert_eq!(received.receive::<Request>().await.unwrap(), request);
        assert_eq!(received.trace(), None);
        let mut cut = span.run(framed_in(Version::Four, &request)).await;
        cut.pop();
        cut[1] -= 1;
        let error = wire_of(Version::Four, cut)
            .receive::<Request>()
            .await
            .unwrap_err();
        assert!(error.is_misbehaviour());
    });
}

/// The figure in `docs/network.md`.
#[test]
fn a_challenge_and_its_answer_are_at_most_two_thirds_of_a_kibibyte() {
    let id = dm_core::envelope::ObjectId {
        locator: DataHash::of(b"data").locator(),
        owner: [7; 20].into(),
    };
    let known = |count| vec![vec![8; 38]; count];
    let asked = |count| {
        framed(&Request::Prove {
            id,
            chunk_list: [1; 32],
            nonce: [2; 32],
            known: known(count),
        })
    };
    let answered = framed(&Reply::Proof {
        digest: [3; 32],
        sequence: u64::MAX,
    });
    let most = asked(super::super::MAX_KNOWN).len() + answered.len();
    assert!(most <= 1024 * 2 / 3, "{most}");
    // Of three holders one is told of.
    assert!(asked(1).len() + answered.len() <= 220);
}

proptest! {
    #[test]
    fn requests_are_read_as_they_were_written(request in messages()) {
        prop_assert_eq!(run(wire(framed(&request)).receive::<Request>()).unwrap(), request);
    }

    #[test]
    fn a_truncated_request_is_an_error(request in messages(), cut in 1usize..200) {
        let mut bytes = framed(&request);
        let kept = bytes.len().saturating_sub(cut);
        bytes.truncate(kept);
        prop_assert!(run(wire(bytes).receive::<Request>()).is_err());
    }

    #[test]
    fn bytes_after_a_message_within_its_frame_are_an_error(request in messages(), extra in 1u8..20) {
        let mut bytes = framed(&request);
        bytes[1] += extra;
        bytes.extend(vec![0; usize::from(extra)]);
        prop_assert!(run(wire(bytes).receive::<Request>()).is_err());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
        let _ = run(wire(bytes.clone()).receive::<Request>());
        let _ = run(wire(bytes).receive::<Reply>());
    }
}

#[test]
fn a_peer_that_is_slow_is_told_from_one_that_stalls() {
    run(async {
        // Half a message, and then nothing.
        let (mut ours, theirs) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut ours, &[0, 9, 1])
            .await
            .unwrap();
        let theirs = tokio_util::compat::TokioAsyncReadCompatExt::compat(theirs);
        let mut slow = Wire::new(theirs, Version::Two, Arc::default(), Duration::from_millis(1));
        assert!(matches!(slow.receive::<Reply>().await, Err(WireError::TimedOut)));
        assert!(matches!(slow.receive::<Reply>().await, Err(WireError::Stalled)));
    });
}

#[test]
fn a_peer_that_stays_silent_stalls() {
    struct Silent;
    impl AsyncRead for Silent {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::Poll::Pending
        }
    }
    impl AsyncWrite for Silent {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::Poll::Pending
        }
        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Pending
        }
        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Pending
        }
    }
    run(async {
        let mut silent = Wire::new(Silent, Version::Two, Arc::default(), Duration::from_millis(1));
        assert!(matches!(silent.receive::<Reply>().await, Err(WireError::Stalled)));
        assert!(matches!(
            silent.send(&Reply::Missing).await,
            Err(WireError::Stalled)
        ));
    });
}
