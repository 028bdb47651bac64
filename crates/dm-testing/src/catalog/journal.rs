//! What [`EventJournal`](dm_core::ports::EventJournal) promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    event::EventKind,
    inbox::{InboxItem, ItemState},
    journal::{JournalEvent, Topics},
    news::News,
    ports::{ErasureCause, JOURNAL_WINDOW},
    span::TraceContext,
};
use serde_json::json;

use super::{
    JournalLedger,
    order_samples::{completed, operation_id, request, token, tries},
    samples::{address, checkpoint, data_hash, entries, event, readable, share, whole_share},
};

/// Makes a test of each promise of [`EventJournal`](dm_core::ports::EventJournal).
#[macro_export]
macro_rules! event_journal_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, journal:
            a_journal_begins_empty_and_has_an_id_of_its_own,
            positions_have_no_gaps,
            many_changes_at_once_leave_no_gap,
            a_share_is_news_once,
            a_share_that_is_refused_is_no_news,
            every_event_of_the_log_is_news,
            news_of_a_share_belong_to_the_trace_of_its_request,
            an_append_that_is_refused_is_no_news,
            a_share_is_news_again_when_its_anchor_moves,
            only_the_first_checkpoint_over_a_share_is_news,
            the_end_of_data_is_news_once_and_says_why,
            a_revocation_is_news_once,
            data_that_becomes_readable_is_news,
            an_item_of_the_inbox_is_news_when_it_comes_and_when_it_is_read,
            a_token_is_news_once,
            what_becomes_of_an_order_is_news,
            a_page_has_the_topics_that_are_asked_for,
            a_page_goes_on_where_the_one_before_ended,
            a_page_looks_at_a_bounded_number_of_positions,
            what_is_old_or_too_much_is_forgotten_but_not_the_newest,
            whoever_waits_learns_of_growth,
        }
    };
}

async fn all(catalog: &impl JournalLedger) -> Vec<JournalEvent> {
    let page = catalog.journal_page(&Topics::all(), 0, usize::MAX >> 1).await;
    page.unwrap().events
}

async fn topics(catalog: &impl JournalLedger) -> Vec<String> {
    all(catalog).await.into_iter().map(|event| event.topic).collect()
}

fn news(count: usize) -> Vec<News> {
    vec![News::NodeStopping {}; count]
}

pub async fn a_journal_begins_empty_and_has_an_id_of_its_own(catalog: &impl JournalLedger) {
    let extent = catalog.journal_extent().await.unwrap();
    assert_eq!((extent.first, extent.last), (1, 0));
    assert_eq!(all(catalog).await, []);
    assert_eq!(catalog.journal_extent().await.unwrap().id, extent.id);
}

pub async fn news_of_a_share_belong_to_the_trace_of_its_request(catalog: &impl JournalLedger) {
    let trace = TraceContext::from_bytes(&[7; TraceContext::BYTES]);
    let mut traced = whole_share(1, 1);
    traced.trace = trace;
    catalog.commit_share(&traced).await.unwrap();
    catalog.commit_share(&whole_share(2, 1)).await.unwrap();
    let mut recorded = entries(0, [1, 2].map(|n| event(EventKind::DataShare, n, 1)));
    recorded[0].trace = trace;
    catalog.append(&recorded, &[]).await.unwrap();
    catalog.put_checkpoint(&checkpoint(2, false)).await.unwrap();
    let told = all(catalog).await;
    assert_eq!(told.len(), 6);
    for event in told {
        let of_traced = event.subject == Some(data_hash(1));
        assert_eq!(event.trace, trace.filter(|_| of_traced), "{event:?}");
    }
}

pub async fn positions_have_no_gaps(catalog: &impl JournalLedger) {
    catalog.append_news(news(100)).await.unwrap();
    catalog.append_news(news(1)).await.unwrap();
    let positions: Vec<u64> = all(catalog).await.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=101).collect::<Vec<_>>());
    let extent = catalog.journal_extent().await.unwrap();
    assert_eq!((extent.first, extent.last), (1, 101));
}

pub async fn many_changes_at_once_leave_no_gap(catalog: &impl JournalLedger) {
    let shares: Vec<_> = (0..100).map(|n| whole_share(n, 1)).collect();
    let commits = shares.iter().map(|share| catalog.commit_share(share));
    futures::future::join_all(commits).await;
    let events = all(catalog).await;
    assert!(events.iter().map(|event| event.position).eq(1..=100));
    let mut subjects: Vec<_> = events.iter().map(|event| event.subject.unwrap()).collect();
    subjects.sort_unstable();
    let mut shared: Vec<_> = (0..100).map(data_hash).collect();
    shared.sort_unstable();
    assert_eq!(subjects, shared);
}

pub async fn a_share_is_news_once(catalog: &impl JournalLedger) {
    for _ in 0..2 {
        catalog.commit_share(&share(1, 2).into()).await.unwrap();
    }
    let events = all(catalog).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].topic, "data.shared");
    assert_eq!(events[0].subject, Some(data_hash(1)));
    assert!(events[0].at > 0);
    assert_eq!(
        events[0].data,
        json!({"data_hash": data_hash(1), "recipient": address(2), "status": "pending", "tx_hash": null})
    );
}

pub async fn a_share_that_is_refused_is_no_news(catalog: &impl JournalLedger) {
    let first = whole_share(1, 1);
    let mut second = whole_share(2, 1);
    second.record.idempotency_key = first.record.idempotency_key.clone();
    catalog.commit_share(&first).await.unwrap();
    catalog.commit_share(&second).await.unwrap();
    assert_eq!(topics(catalog).await, ["data.shared"]);
}

pub async fn every_event_of_the_log_is_news(catalog: &impl JournalLedger) {
    let recorded = entries(
        0,
        [event(EventKind::DataShare, 1, 2), event(EventKind::Revoke, 1, 2)],
    );
    catalog.append(&recorded, &[]).await.unwrap();
    let events = all(catalog).await;
    assert_eq!(topics(catalog).await, ["compliance.event"; 2]);
    assert_eq!(
        events[1].data,
        json!({
            "index": 1, "event_type": "revoke", "data_hash": data_hash(1), "recipient": address(2),
            "timestamp": recorded[1].event.timestamp,
        })
    );
}

pub async fn an_append_that_is_refused_is_no_news(catalog: &impl JournalLedger) {
    let recorded = entries(1, [event(EventKind::DataShare, 1, 2)]);
    catalog.append(&recorded, &[]).await.unwrap_err();
    assert_eq!(all(catalog).await, []);
}

/// Two shares, a transfer between them, and a third share.
async fn recorded(catalog: &impl JournalLedger) -> u64 {
    let mut transfer = event(EventKind::Transfer, 9, 1);
    transfer.data_hash = None;
    let events = [
        event(EventKind::DataShare, 1, 1),
        transfer,
        event(EventKind::Grant, 2, 1),
        event(EventKind::DataShare, 3, 1),
    ];
    catalog.append(&entries(0, events), &[]).await.unwrap();
    4
}

pub async fn a_share_is_news_again_when_its_anchor_moves(catalog: &impl JournalLedger) {
    let before = recorded(catalog).await;
    let mut anchored = checkpoint(3, false);
    catalog.put_checkpoint(&anchored).await.unwrap();
    anchored.is_final = true;
    catalog.put_checkpoint(&anchored).await.unwrap();
    anchored.anchor.block += 1;
    catalog.put_checkpoint(&anchored).await.unwrap();
    let events = catalog
        .journal_page(&Topics::all(), before, 100)
        .await
        .unwrap()
        .events;
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.topic.as_str(), event.subject, event.data["block"].as_u64()))
        .collect();
    let share = |n, block| ("share.anchored", Some(data_hash(n)), Some(block));
    assert_eq!(told, [share(1, 103), share(2, 103), share(1, 104), share(2, 104)]);
    assert_eq!(
        events[0].data,
        json!({
            "data_hash": data_hash(1), "recipient": address(1), "tx_hash": anchored.anchor.tx_hash,
            "block": 103, "anchored_at": anchored.anchor.timestamp,
        })
    );
}

pub async fn only_the_first_checkpoint_over_a_share_is_news(catalog: &impl JournalLedger) {
    let before = recorded(catalog).await;
    catalog.put_checkpoint(&checkpoint(3, true)).await.unwrap();
    catalog.put_checkpoint(&checkpoint(4, true)).await.unwrap();
    let events = catalog
        .journal_page(&Topics::all(), before, 100)
        .await
        .unwrap()
        .events;
    let told: Vec<_> = events.iter().map(|event| event.subject.unwrap()).collect();
    assert_eq!(told, [data_hash(1), data_hash(2), data_hash(3)]);
}

pub async fn the_end_of_data_is_news_once_and_says_why(catalog: &impl JournalLedger) {
    for (n, cause) in [(1, ErasureCause::Ordered), (2, ErasureCause::Expired)] {
        for _ in 0..2 {
            catalog.begin_erasure(&data_hash(n), cause).await.unwrap();
        }
    }
    assert_eq!(topics(catalog).await, ["data.erased", "data.expired"]);
    assert_eq!(all(catalog).await[1].data, json!({"data_hash": data_hash(2)}));
}

pub async fn a_revocation_is_news_once(catalog: &impl JournalLedger) {
    for _ in 0..2 {
        catalog.begin_revocation(&data_hash(1), address(2)).await.unwrap();
    }
    assert_eq!(topics(catalog).await, ["data.revoked"]);
    let expected = json!({"data_hash": data_hash(1), "recipient": address(2)});
    assert_eq!(all(catalog).await[0].data, expected);
}

pub async fn data_that_becomes_readable_is_news(catalog: &impl JournalLedger) {
    for _ in 0..2 {
        catalog.put_readable(&readable(1, address(5))).await.unwrap();
    }
    assert_eq!(topics(catalog).await, ["data.received"]);
    let expected = json!({"data_hash": data_hash(1), "owner": address(5), "size": 2});
    assert_eq!(all(catalog).await[0].data, expected);
}

pub async fn an_item_of_the_inbox_is_news_when_it_comes_and_when_it_is_read(catalog: &impl JournalLedger) {
    let object = readable(1, address(5));
    let item = InboxItem {
        data_hash: object.data_hash,
        owner: object.id.owner,
        size: object.size,
        descriptor: vec![1].into(),
        sequence: 1,
        shared_at: 1,
        received_at: 1,
        expires_at: None,
        state: ItemState::New,
        fetched_at: None,
        anchored: false,
    };
    for _ in 0..2 {
        catalog.list_item(&item, &[]).await.unwrap();
    }
    for _ in 0..2 {
        catalog.put_readable(&object).await.unwrap();
    }
    assert_eq!(topics(catalog).await, ["data.received", "data.fetched"]);
    let read_before = InboxItem {
        data_hash: data_hash(2),
        state: ItemState::Fetched,
        ..item
    };
    catalog.list_item(&read_before, &[]).await.unwrap();
    assert_eq!(topics(catalog).await, ["data.received", "data.fetched"]);
}

pub async fn a_token_is_news_once(catalog: &impl JournalLedger) {
    for _ in 0..2 {
        catalog.add_token(&token(1)).await.unwrap();
    }
    assert_eq!(topics(catalog).await, ["token.added"]);
}

pub async fn what_becomes_of_an_order_is_news(catalog: &impl JournalLedger) {
    catalog.insert_order(&request(1)).await.unwrap();
    catalog.insert_order(&request(2)).await.unwrap();
    let id = operation_id(1);
    catalog.set_order_state(id, &completed(None)).await.unwrap();
    let accepted = request(2).state;
    catalog
        .set_order_tries(operation_id(2), &accepted, &tries(1))
        .await
        .unwrap();
    let unknown = operation_id(9);
    catalog.set_order_state(unknown, &completed(None)).await.unwrap();
    let expected = ["token.transfer_completed", "token.transfer_failed"];
    assert_eq!(topics(catalog).await, expected);
    assert_eq!(all(catalog).await[0].data["id"], json!(id.to_string()));
}

pub async fn a_page_has_the_topics_that_are_asked_for(catalog: &impl JournalLedger) {
    catalog.commit_share(&share(1, 2).into()).await.unwrap();
    catalog.append_news(news(1)).await.unwrap();
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    let wanted = Topics::new(["data.*"]).unwrap();
    let page = catalog.journal_page(&wanted, 0, 100).await.unwrap();
    let positions: Vec<u64> = page.events.iter().map(|event| event.position).collect();
    assert_eq!((positions, page.read_to), (vec![1, 3], 3));
}

pub async fn a_page_goes_on_where_the_one_before_ended(catalog: &impl JournalLedger) {
    catalog.append_news(news(5)).await.unwrap();
    let (mut after, mut lengths) = (0, Vec::new());
    for _ in 0..4 {
        let page = catalog.journal_page(&Topics::all(), after, 2).await.unwrap();
        lengths.push(page.events.len());
        after = page.read_to;
    }
    assert_eq!((lengths, after), (vec![2, 2, 1, 0], 5));
    // A place that the journal has not reached stays where it is.
    let page = catalog.journal_page(&Topics::all(), 7, 2).await.unwrap();
    assert_eq!((page.events.len(), page.read_to), (0, 7));
}

pub async fn a_page_looks_at_a_bounded_number_of_positions(catalog: &impl JournalLedger) {
    let many = usize::try_from(JOURNAL_WINDOW).unwrap();
    catalog.append_news(news(many)).await.unwrap();
    catalog.commit_share(&share(1, 2).into()).await.unwrap();
    let wanted = Topics::new(["data.shared"]).unwrap();
    let page = catalog.journal_page(&wanted, 0, 10).await.unwrap();
    assert_eq!((page.events.len(), page.read_to), (0, JOURNAL_WINDOW));
    let page = catalog.journal_page(&wanted, page.read_to, 10).await.unwrap();
    assert_eq!(page.events.len(), 1);
}

pub async fn what_is_old_or_too_much_is_forgotten_but_not_the_newest(catalog: &impl JournalLedger) {
    catalog.append_news(news(10)).await.unwrap();
    assert_eq!(catalog.prune_journal(0, 100).await.unwrap(), 0);
    assert_eq!(catalog.prune_journal(0, 4).await.unwrap(), 6);
    let extent = catalog.journal_extent().await.unwrap();
    assert_eq!((extent.first, extent.last), (7, 10));
    // Who has read less goes on with the oldest one that is kept.
    let page = catalog.journal_page(&Topics::all(), 2, 1).await.unwrap();
    assert_eq!(page.events[0].position, 7);
    // A time that is still to come: all of them are old.
    assert_eq!(catalog.prune_journal(u64::MAX >> 1, 100).await.unwrap(), 3);
    assert_eq!(catalog.prune_journal(u64::MAX >> 1, 0).await.unwrap(), 0);
    catalog.append_news(news(1)).await.unwrap();
    let extent = catalog.journal_extent().await.unwrap();
    assert_eq!((extent.first, extent.last), (10, 11));
}

pub async fn whoever_waits_learns_of_growth(catalog: &impl JournalLedger) {
    let mut growth = catalog.journal_growth();
    catalog.append_news(news(3)).await.unwrap();
    let grown = growth.wait_for(|position| *position >= 3);
    let within = tokio::time::timeout(crate::waiting::PATIENCE, grown);
    assert_eq!(*within.await.unwrap().unwrap(), 3);
}
