//! What [`EventLog`] promises about appending and reading by position; pages
//! are in [`super::history`], checkpoints in [`super::checkpoints`].

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    event::{Event, EventKind},
    ports::{CatalogError, EventLog, LogEntry, TracedEvent, TreeNode},
    span::TraceContext,
};

use super::samples::{entries, event, mandate, node};

/// Makes a test of each promise of [`EventLog`].
#[macro_export]
macro_rules! event_log_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, event_log:
            an_event_is_kept_as_it_was_given,
            an_event_is_kept_with_its_mandate,
            events_of_traces_are_found_by_their_positions,
            a_long_append_is_kept_whole,
            an_append_that_leaves_a_gap_changes_nothing,
            an_append_to_a_taken_position_changes_nothing,
            of_appends_to_the_same_position_one_succeeds,
            an_append_with_a_taken_tree_node_changes_nothing,
            tree_nodes_come_in_the_order_asked,
            a_missing_tree_node_is_damage,
        }
        $crate::conformance_tests! { $empty, history:
            pages_go_from_the_newest_to_the_oldest,
            a_page_that_ends_with_the_log_has_no_next,
            a_filter_keeps_what_matches_all_its_parts,
            a_filtered_history_is_paged_too,
        }
        $crate::conformance_tests! { $empty, checkpoints:
            a_checkpoint_is_kept_as_it_was_given,
            a_checkpoint_of_the_same_size_is_replaced,
            an_event_is_covered_by_the_smallest_larger_checkpoint,
            a_removed_checkpoint_covers_nothing,
            open_checkpoints_are_listed_smallest_first,
        }
    };
}

fn shares(first: u64, count: u64) -> Vec<LogEntry> {
    entries(
        first,
        (first..first + count).map(|n| event(EventKind::DataShare, n, 1)),
    )
}

pub async fn an_event_is_kept_as_it_was_given(catalog: &impl EventLog) {
    let mut with_details = event(EventKind::Transfer, 1, 1);
    with_details.details = [("amount".into(), "10".into()), ("ä\"\\".into(), "\u{0}☕".into())].into();
    let bare = Event {
        data_hash: None,
        recipient: None,
        ..event(EventKind::KeyRotation, 2, 1)
    };
    let kept = entries(0, [with_details, bare]);
    catalog.append(&kept, &[]).await.unwrap();
    for entry in kept {
        assert_eq!(catalog.event(entry.index).await.unwrap(), Some(entry));
    }
    assert_eq!(catalog.event(2).await.unwrap(), None);
    assert_eq!(catalog.event(u64::MAX).await.unwrap(), None);
}

pub async fn an_event_is_kept_with_its_mandate(catalog: &impl EventLog) {
    let mut ordered = event(EventKind::DataShare, 1, 1);
    ordered.mandate = Some(Box::new(mandate(1, 5).mandate));
    let kept = entries(0, [ordered, event(EventKind::DataShare, 2, 1)]);
    catalog.append(&kept, &[]).await.unwrap();
    for entry in kept {
        assert_eq!(catalog.event(entry.index).await.unwrap(), Some(entry));
    }
}

pub async fn events_of_traces_are_found_by_their_positions(catalog: &impl EventLog) {
    let mut kept = shares(0, 6);
    let trace = |n: u8| TraceContext::from_bytes(&[n; TraceContext::BYTES]);
    for n in [1, 2, 4] {
        kept[n].trace = trace(n as u8);
    }
    catalog.append(&kept, &[]).await.unwrap();
    assert_eq!(catalog.event(4).await.unwrap(), Some(kept[4].clone()));
    let traced = |n: usize| TracedEvent {
        trace: kept[n].trace.unwrap(),
        recorded_at: kept[n].event.timestamp,
    };
    let found = |positions, limit| catalog.traced_events(positions, limit);
    assert_eq!(found(0..6, 10).await.unwrap(), [traced(1), traced(2), traced(4)]);
    assert_eq!(found(2..4, 10).await.unwrap(), [traced(2)]);
    assert_eq!(found(0..u64::MAX, 2).await.unwrap(), [traced(1), traced(2)]);
    assert_eq!(found(5..6, 10).await.unwrap(), []);
}

pub async fn a_long_append_is_kept_whole(catalog: &impl EventLog) {
    assert_eq!(catalog.event_count().await.unwrap(), 0);
    catalog.append(&shares(0, 300), &[]).await.unwrap();
    catalog.append(&shares(300, 1), &[]).await.unwrap();
    assert_eq!(catalog.event_count().await.unwrap(), 301);
    assert_eq!(catalog.event(299).await.unwrap(), shares(299, 1).pop());
}

async fn refuses(catalog: &impl EventLog, entries: &[LogEntry], nodes: &[TreeNode]) {
    let before = catalog.event_count().await.unwrap();
    let result = catalog.append(entries, nodes).await;
    assert!(matches!(result, Err(CatalogError::Conflict(_))), "{result:?}");
    assert_eq!(catalog.event_count().await.unwrap(), before);
}

pub async fn an_append_that_leaves_a_gap_changes_nothing(catalog: &impl EventLog) {
    refuses(catalog, &shares(1, 1), &[]).await;
    let mut with_gap = shares(0, 3);
    with_gap.remove(1);
    refuses(catalog, &with_gap, &[node(0)]).await;
    assert!(catalog.tree_nodes(&[0]).await.is_err());
}

pub async fn an_append_to_a_taken_position_changes_nothing(catalog: &impl EventLog) {
    catalog.append(&shares(0, 2), &[]).await.unwrap();
    refuses(catalog, &shares(1, 2), &[]).await;
    assert_eq!(catalog.event(1).await.unwrap(), shares(1, 1).pop());
}

pub async fn of_appends_to_the_same_position_one_succeeds(catalog: &impl EventLog) {
    let wanted = shares(0, 1);
    let results = futures::future::join_all((0..20).map(|_| catalog.append(&wanted, &[]))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(catalog.event_count().await.unwrap(), 1);
}

pub async fn an_append_with_a_taken_tree_node_changes_nothing(catalog: &impl EventLog) {
    catalog.append(&shares(0, 1), &[node(0)]).await.unwrap();
    refuses(catalog, &shares(1, 1), &[node(2), node(0)]).await;
    catalog.append(&shares(1, 1), &[node(2), node(1)]).await.unwrap();
}

pub async fn tree_nodes_come_in_the_order_asked(catalog: &impl EventLog) {
    let nodes: Vec<TreeNode> = (0..100).map(node).collect();
    catalog.append(&shares(0, 50), &nodes).await.unwrap();
    let positions = [99, 0, 50, 7, 50];
    let hashes = catalog.tree_nodes(&positions).await.unwrap();
    assert_eq!(hashes, positions.map(|position| node(position).hash));
    assert!(catalog.tree_nodes(&[]).await.unwrap().is_empty());
}

pub async fn a_missing_tree_node_is_damage(catalog: &impl EventLog) {
    catalog.append(&shares(0, 1), &[node(0)]).await.unwrap();
    for missing in [1, u64::MAX] {
        let result = catalog.tree_nodes(&[0, missing]).await;
        assert!(matches!(result, Err(CatalogError::Corrupt(_))), "{result:?}");
    }
}
