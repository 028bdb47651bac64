//! No query may walk through a table: what a call costs must not depend on how
//! much the catalog holds.

use dm_core::{
    Address,
    event::EventKind,
    hash::DataHash,
    inbox::{InboxQuery, ItemState, Term},
    ports::EventFilter,
    sent::{SentQuery, SentState},
};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, sqlite::SqliteArguments};

use super::{
    api_keys, checkpoints, contacts, deliveries, erasures, event_log, history, inbox, inbox_pages, instances,
    journal, key_changes, key_uses, leases,
    listing_pages::{INBOX, SENT},
    mandates, namespaces, open, order_writes, orders, peers, readable_objects, replicas, revocations, sent,
    sent_pages, share_writes, shares, subscriptions, tokens, uploads, users,
};

async fn plan(connection: &mut SqliteConnection, sql: &str, arguments: SqliteArguments) -> Vec<String> {
    assert!(!sql.contains("LIMIT ?"), "it is planned anew at each call: {sql}");
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let rows = sqlx::query_with(AssertSqlSafe(explain), arguments)
        .fetch_all(connection)
        .await
        .unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

/// Lists of values are scanned, what a subquery has chosen, and indexes that
/// hold nothing but what is asked for; no table, and no index of a whole table.
fn walks_through_a_table(step: &str) -> bool {
    const HARMLESS: [&str; 9] = [
        "CONSTANT ROW",
        "VALUES CLAUSE",
        "VIRTUAL TABLE",
        "subquery",
        "shares_unrecorded",
        "shares_grant_owed",
        "checkpoints_open",
        "uploads_open",
        "uploads_complete",
    ];
    step.starts_with("SCAN") && !HARMLESS.iter().any(|harmless| step.contains(harmless))
}

async fn assert_indexed(connection: &mut SqliteConnection, sql: &str, arguments: SqliteArguments) {
    let steps = plan(connection, sql, arguments).await;
    assert!(
        !steps.iter().any(|step| walks_through_a_table(step)),
        "{sql}\n{steps:#?}"
    );
    assert!(
        !steps
            .iter()
            .any(|step| step == "USE TEMP B-TREE FOR ORDER BY" && steps.len() <= 2),
        "{sql}\n{steps:#?}"
    );
}

#[tokio::test]
async fn every_lookup_uses_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, _file) = open::writing(&folder.path().join("catalog.db")).await.unwrap();
    for sql in [
        shares::BY_RECIPIENT,
        shares::BY_KEY,
        shares::UNRECORDED,
        shares::UNRECORDED_OF,
        shares::IS_SHARED,
        shares::IS_RECEIPT_SPREAD,
        shares::OWED_RECIPIENTS,
        shares::GRANT_OWED,
        share_writes::TAKE_BACK,
        share_writes::TAKE_BACK_DELIVERY,
        readable_objects::IS_KNOWN,
        readable_objects::OF_OWNER,
        mandates::UNUSE,
        erasures::UNFINISHED,
        revocations::UNFINISHED,
        shares::RECEIPT_DUE,
        share_writes::SET_GRANT_OWED,
        share_writes::REMOVE_ALL,
        erasures::BEGIN,
        readable_objects::WRAPPED_BY,
        readable_objects::VERSION_BEFORE,
        readable_objects::REWRAP,
        key_uses::WRAPS,
        key_uses::RETIRE,
        key_changes::BEGIN,
        key_changes::END,
        erasures::END,
        erasures::SCHEDULE,
        erasures::UNSCHEDULE,
        erasures::DUE,
        revocations::BEGIN,
        revocations::END,
        revocations::END_ALL,
        revocations::PREPARE,
        revocations::PREPARED,
        revocations::FORGET_PREPARED,
        share_writes::REMOVE,
        share_writes::SET_RECEIPT_SPREAD,
        replicas::GET,
        readable_objects::GET,
        readable_objects::REMOVE,
        readable_objects::ORDINAL,
        readable_objects::WITH_REPLICAS,
        subscriptions::GET,
        subscriptions::SET_STATE,
        subscriptions::SET_PROGRESS,
        subscriptions::REWIND,
        subscriptions::DEAD_LETTERS,
        subscriptions::TRIM,
        subscriptions::FORGET_BEYOND,
        subscriptions::REMOVE,
        uploads::GET,
        uploads::ADVANCE,
        uploads::CLOSE,
        uploads::REMOVE,
        uploads::REFUSE,
        uploads::DUE,
        uploads::OPEN_OF,
        uploads::NOTE_SHARE,
        uploads::FORGET_SHARE,
        uploads::SHARES_OF,
        uploads::OPEN,
        journal::LAST,
        journal::PAGE.sqlite,
        journal::FORGET,
        checkpoints::AT,
        checkpoints::SHARES_COVERED_FIRST,
        inbox::GET,
        inbox::IS_LISTED,
        inbox::OF_DATA,
        inbox::UPDATE,
        inbox::SET_ANCHORED,
        inbox::ADD_TERM,
        inbox::REMOVE_TERMS,
        inbox::ADVANCE,
        inbox::EXPIRE,
        inbox::END,
        inbox::REMOVE_TERMS_OF,
        inbox::REMOVE,
        inbox::NOTE_ARRIVAL,
        inbox::ARRIVED,
        inbox::SETTLE_ARRIVAL,
        deliveries::GET,
        deliveries::OF_OBJECT,
        deliveries::UNRECORDED,
        deliveries::MARK_RECORDED,
        inbox_pages::FIRST_SINCE,
        inbox_pages::IS_ANY_DUE,
        sent::FORGET,
        sent::SET_GRANTED,
        sent::NOTIFY,
        sent::ACKNOWLEDGE,
        sent::END,
        sent::END_ALL,
        sent::RELIST,
        sent::REMOVE_TERMS,
        event_log::LENGTH,
        event_log::GET,
        event_log::TRACED,
        event_log::NODES.sqlite,
        checkpoints::REMOVE,
        checkpoints::COVERING,
        checkpoints::COVERING_ALL.sqlite,
        checkpoints::OPEN,
        api_keys::GET,
        api_keys::REVOKE,
        api_keys::ADD_USAGE,
        api_keys::GENERATION,
        peers::REMOVE.sqlite,
        orders::BY_ID,
        orders::BY_KEY,
        orders::OPEN,
        orders::PAGE,
        orders::PAYMENT_FOR,
        orders::UNDELIVERED,
        order_writes::SET_TRIES,
        tokens::ADD,
        tokens::GET,
        users::GET,
        users::PAGE,
        users::REMOVE,
        contacts::GET,
        contacts::AT,
        contacts::PAGE,
        contacts::IS_TAKEN,
        contacts::REMOVE,
        mandates::IS_USED,
        mandates::FORGET,
        leases::PUT,
        leases::FORGET,
        leases::PAGE,
        instances::PUT,
        instances::REMOVE,
        namespaces::GET,
        namespaces::REMOVE,
        namespaces::PAGE,
        namespaces::LAST_PAGE,
    ] {
        assert_indexed(&mut connection, sql, SqliteArguments::default()).await;
    }
    for listing in [&INBOX, &SENT] {
        assert_indexed(&mut connection, &listing.count(), SqliteArguments::default()).await;
    }
    for statement in replicas::SET.split(';') {
        assert_indexed(&mut connection, statement, SqliteArguments::default()).await;
    }
    for bulk in [
        &share_writes::INSERT,
        &readable_objects::PUT,
        &event_log::MARK_RECORDED,
        &inbox::LISTED_AMONG,
        &order_writes::INSERT,
        &order_writes::SET_STATE,
        &order_writes::CLOSE,
        &order_writes::MARK_RECORDED,
    ] {
        for (sql, _) in [1, 2, 4, 8, 16, 32, 64]
            .iter()
            .flat_map(|rows| bulk.runs(&[(); 64][..*rows]))
        {
            assert_indexed(&mut connection, sql.sqlite().as_str(), SqliteArguments::default()).await;
        }
    }
}

#[tokio::test]
async fn a_new_share_is_looked_up_by_its_data_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, _file) = open::writing(&folder.path().join("catalog.db")).await.unwrap();
    for (sql, _) in share_writes::INSERT.runs(&[(); 3]) {
        let steps = plan(&mut connection, sql.sqlite().as_str(), SqliteArguments::default()).await;
        assert!(
            steps.iter().any(|step| step.contains("events_by_data")),
            "{steps:#?}"
        );
        assert!(
            !steps.iter().any(|step| step.contains("events_by_recipient")),
            "{steps:#?}"
        );
    }
}

/// What each query would also get from another index, but not without looking
/// at more rows the longer the node has run.
#[tokio::test]
async fn orders_that_are_done_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, _file) = open::writing(&folder.path().join("catalog.db")).await.unwrap();
    for (sql, steps) in [
        (orders::OPEN, &["SEARCH o USING INDEX orders_open (number>?)"][..]),
        (
            orders::UNDELIVERED,
            &["SEARCH o USING INDEX orders_undelivered (created_at>? AND created_at<?)"],
        ),
        (
            orders::PAYMENT_FOR,
            &[
                "SEARCH o USING INDEX orders_by_share (locator=? AND recipient=?)",
                "CORRELATED SCALAR SUBQUERY 1",
                "SEARCH r USING INDEX orders_by_refunded (refund_of=?)",
            ],
        ),
        (
            // What the trigger share_delivers_payments does.
            "UPDATE orders SET undelivered = 0 WHERE locator = ? AND recipient = ? AND undelivered = 1",
            &["SEARCH orders USING INDEX orders_by_share (locator=? AND recipient=?)"],
        ),
    ] {
        assert_eq!(
            plan(&mut connection, sql, SqliteArguments::default()).await,
            steps
        );
    }
}

#[tokio::test]
async fn a_new_order_is_looked_up_by_its_operation_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, _file) = open::writing(&folder.path().join("catalog.db")).await.unwrap();
    for (sql, _) in order_writes::INSERT.runs(&[(); 3]) {
        let steps = plan(&mut connection, sql.sqlite().as_str(), SqliteArguments::default()).await;
        assert!(
            steps
                .iter()
                .any(|step| step.starts_with("SEARCH events USING") && step.contains("events_by_operation")),
            "{steps:#?}"
        );
    }
}

#[tokio::test]
async fn the_newest_checkpoint_is_read_from_the_end_of_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, _file) = open::writing(&folder.path().join("catalog.db")).await.unwrap();
    let steps = plan(&mut connection, checkpoints::LAST, SqliteArguments::default()).await;
    assert_eq!(
        steps,
        ["SCAN checkpoints"],
        "in the order of its key, without a sort"
    );
}

#[tokio::test]
async fn the_newest_lease_is_looked_up_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, _file) = open::writing(&folder.path().join("catalog.db")).await.unwrap();
    let steps = plan(&mut connection, leases::NEWEST.sqlite, SqliteArguments::default()).await;
    assert!(
        steps
            .iter()
            .any(|step| step.starts_with("SEARCH l USING INTEGER PRIMARY KEY")),
        "{steps:#?}"
    );
    // The one number that was found is scanned.
    assert!(
        !steps
            .iter()
            .any(|step| walks_through_a_table(step) && step != "SCAN n"),
        "{steps:#?}"
    );
}

#[tokio::test]
async fn every_filter_of_the_inbox_uses_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, _file) = open::writing(&folder.path().join("catalog.db")).await.unwrap();
    let terms = [Term([1; 16]), Term([2; 16]), Term([3; 16])];
    for count in 0..=terms.len() {
        for states in [&[][..], &[ItemState::New], &ItemState::ALL[..3]] {
            let asked = InboxQuery {
                states: states.iter().copied().collect(),
                limit: 20,
                ..InboxQuery::default()
            };
            let query = inbox_pages::query(&asked, &terms[..count], (5, 1_000));
            let steps = plan(&mut connection, query.text(), SqliteArguments::default()).await;
            let index = if count == 0 {
                "inbox_by_state (state=?"
            } else {
                "(term=? AND state=?"
            };
            let is_range = |step: &&String| step.starts_with("SEARCH r USING") && step.contains(index);
            let wanted = if states.is_empty() { 6 } else { states.len() };
            assert_eq!(steps.iter().filter(is_range).count(), wanted, "{steps:#?}");
            // What the ranges have given is scanned.
            let walks = |step: &String| walks_through_a_table(step) && step != "SCAN n";
            assert!(!steps.iter().any(walks), "{steps:#?}");
        }
    }
}

#[tokio::test]
async fn a_page_of_shares_reads_as_much_as_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, _file) = open::writing(&folder.path().join("catalog.db")).await.unwrap();
    let terms = [Term([1; 16]), Term([2; 16])];
    for count in 0..=terms.len() {
        for states in [&[][..], &[SentState::Shared], &SentState::ALL[..3]] {
            let asked = SentQuery {
                states: states.iter().copied().collect(),
                before: Some(1_000),
                limit: 20,
                ..SentQuery::default()
            };
            let query = sent_pages::query(&asked, &terms[..count]);
            let steps = plan(&mut connection, query.text(), SqliteArguments::default()).await;
            let index = if count == 0 {
                "sent_by_state (state=? AND number>? AND number<?)"
            } else {
                "(term=? AND state=? AND number>? AND number<?)"
            };
            let is_range = |step: &&String| step.starts_with("SEARCH r USING") && step.ends_with(index);
            let wanted = if states.is_empty() { 6 } else { states.len() };
            assert_eq!(steps.iter().filter(is_range).count(), wanted, "{steps:#?}");
            // What the ranges have given is scanned.
            let walks = |step: &String| walks_through_a_table(step) && step != "SCAN n";
            assert!(!steps.iter().any(walks), "{steps:#?}");
        }
    }
    // The shares of one piece of data are put in order.
    for sql in [sent_pages::OF_DATA, sent_pages::WITH_RECIPIENT] {
        let steps = plan(&mut connection, sql, SqliteArguments::default()).await;
        assert!(
            !steps.iter().any(|step| walks_through_a_table(step)),
            "{steps:#?}"
        );
    }
}

#[tokio::test]
async fn every_filter_of_the_history_uses_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, _file) = open::writing(&folder.path().join("catalog.db")).await.unwrap();
    let one = [EventKind::DataShare];
    for kinds in [&[][..], &one, &EventKind::ALL, &EventKind::ALL[..3]] {
        for data_hash in [None, Some(DataHash::of(b"data"))] {
            for recipient in [None, Some(Address::ZERO)] {
                let filter = EventFilter {
                    kinds: kinds.iter().copied().collect(),
                    data_hash,
                    recipient,
                };
                let query = history::query(&filter, 1_000, 20);
                assert_indexed(&mut connection, query.text(), SqliteArguments::default()).await;
            }
        }
    }
}
