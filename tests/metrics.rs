//! What programs for monitoring read of a node.

use dm_metrics::{Kind, list};
use dm_testing::waiting::eventually;
use reqwest::StatusCode;
use tempfile::{TempDir, tempdir};

use crate::support::{Node, NodeSetup, SOMEBODY};

/// A node that serves its metrics on a port of its own.
async fn metered(home: &TempDir) -> Node {
    NodeSetup::new(home.path())
        .env("DM_METRICS__LISTEN", "127.0.0.1:0")
        .start()
        .await
}

async fn page(node: &Node) -> String {
    let url = node.started.metrics.as_deref().unwrap();
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.text().await.unwrap()
}

/// The value of a series, by its name and all its labels.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line?.parse().ok()
}

/// A page on which a series has at least this value.
pub(crate) async fn page_with(node: &Node, series: &str, least: f64) -> String {
    eventually(&format!("{series} is {least}"), async || {
        let page = page(node).await;
        (value(&page, series)? >= least).then_some(page)
    })
    .await
}

#[tokio::test]
async fn a_node_tells_every_metric_and_counts_what_it_does() {
    let home = tempdir().unwrap();
    let node = metered(&home).await;
    for data in ["one", "two"] {
        let hash = node.must_share(data, SOMEBODY).await;
        node.object(&hash).await;
    }
    page_with(&node, r#"dm_chain_transactions_total{outcome="mined"}"#, 1.0).await;
    let page = page_with(&node, "dm_log_anchor_delay_seconds_count", 2.0).await;
    for (series, least) in [
        (
            r#"dm_http_requests_total{api="external",method="POST",route="/share_data",status="201"}"#,
            2.0,
        ),
        (
            r#"dm_http_request_duration_seconds_count{api="external",method="POST",route="/share_data"}"#,
            2.0,
        ),
        (r#"dm_shares_total{state="shared"}"#, 2.0),
        (r#"dm_shares_total{state="anchored"}"#, 2.0),
        ("dm_log_events", 2.0),
        ("dm_object_store_objects", 2.0),
        (r#"dm_object_store_kept_bytes{owner="own"}"#, 100.0),
        ("dm_object_store_commit_changes_count", 1.0),
        ("dm_catalog_commit_duration_seconds_count", 2.0),
        ("dm_catalog_read_duration_seconds_count", 1.0),
        (r#"dm_instances{state="there"}"#, 1.0),
        ("dm_instance_leads", 1.0),
        ("dm_chain_gas_total", 21_000.0),
        ("dm_chain_connected", 1.0),
        ("dm_key_versions", 1.0),
        ("dm_process_resident_memory_bytes", 1e6),
    ] {
        let found = value(&page, series);
        assert!(
            found.is_some_and(|found| found >= least),
            "{series}: {found:?}\n{page}"
        );
    }
    for metric in list::all().filter(|metric| !metric.is_optional) {
        let series = match metric.kind {
            Kind::Histogram => format!("{}_count", metric.name),
            _ => metric.name.to_owned(),
        };
        assert!(
            page.lines().any(|line| line.starts_with(&series)),
            "{series} is missing\n{page}"
        );
    }
    assert!(page.ends_with("# EOF\n"));
}

#[tokio::test]
async fn no_label_tells_what_clients_send() {
    let home = tempdir().unwrap();
    let node = metered(&home).await;
    let hash = node.must_share("something", SOMEBODY).await;
    for path in [
        format!("/data/{hash}"),
        "/nobody/knows".to_owned(),
        format!("/data/{}", "f".repeat(64)),
    ] {
        let answered = reqwest::get(format!("{}{path}", node.started.external_api)).await;
        assert!(answered.unwrap().status().is_client_error());
    }
    let series =
        r#"dm_http_requests_total{api="external",method="GET",route="/data/{data_hash}",status="401"}"#;
    let page = page_with(&node, series, 2.0).await;
    for told in [
        hash.as_str(),
        "nobody",
        "ffff",
        &SOMEBODY[2..],
        &node.address()[2..],
    ] {
        assert!(!page.contains(told), "{told} is in\n{page}");
    }
}

#[tokio::test]
async fn where_the_port_of_the_metrics_is_taken_a_node_for_trying_takes_another() {
    let (home, other_home) = (tempdir().unwrap(), tempdir().unwrap());
    let first = metered(&home).await;
    let taken = first.started.metrics.clone().unwrap();
    let address = taken.strip_prefix("http://").unwrap();
    let second = NodeSetup::new(other_home.path())
        .env("DM_METRICS__LISTEN", address.strip_suffix("/metrics").unwrap())
        .start()
        .await;
    assert_ne!(second.started.metrics, first.started.metrics);
    assert!(page(&second).await.contains("dm_build_info"));
}

#[tokio::test]
async fn metrics_that_are_off_are_served_nowhere() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_METRICS__LISTEN", "off")
        .start()
        .await;
    assert_eq!(node.started.metrics, None);
}
