//! What explains, shows or watches metrics follows the list: one document and the dashboard are
//! made from it, and the alerts name nothing else. `UPDATE_DOCUMENTS=1` writes what is made.

use std::{collections::BTreeSet, fmt::Write, fs, path::PathBuf};

use dm_metrics::{Group, Kind, Metric, list};
use regex::Regex;
use serde_json::{Value, json};

fn at_root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at_root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const OUTDATED: &str = "does not follow the list: run this test with UPDATE_DOCUMENTS=1";

fn is_updating() -> bool {
    std::env::var_os("UPDATE_DOCUMENTS").is_some()
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    let name = Regex::new("^dm_[a-z]+(_[a-z]+)*$").unwrap();
    let mut seen = BTreeSet::new();
    for metric in list::all() {
        assert!(name.is_match(metric.name), "{}", metric.name);
        assert!(seen.insert(metric.name), "{} is there twice", metric.name);
        assert_eq!(
            metric.name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{}",
            metric.name
        );
        assert_eq!(
            metric.name.ends_with("_info"),
            metric.kind == Kind::Info,
            "{}",
            metric.name
        );
        assert!(
            !metric.help.ends_with('.') && metric.action.ends_with('.'),
            "{}",
            metric.name
        );
    }
    assert!(seen.len() > 50);
}

#[test]
fn the_document_of_the_metrics_is_made_from_the_list() {
    let (path, made) = ("docs/metrics.md", reference());
    if is_updating() {
        fs::write(at_root(path), &made).unwrap();
    }
    assert!(read(path) == made, "{path} {OUTDATED}");
}

fn reference() -> String {
    let mut text = "\
# Metrics

`GET /metrics` on `metrics.listen` answers these, in the text format of
[OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/). [monitoring.md](monitoring.md)
says how a node is watched. This page is made from the list in `crates/dm-metrics/src/list.rs`.

Counters and histograms begin at 0 when the process starts. No label grows with data or with peers.
Metrics with a star are there once there is something to count.
"
    .to_owned();
    for Group { title, metrics } in list::GROUPS {
        write!(
            text,
            "\n## {title}\n\n| metric | what it is | what to do |\n| --- | --- | --- |\n"
        )
        .unwrap();
        for metric in *metrics {
            let Metric {
                name,
                kind,
                labels,
                help,
                action,
                is_optional,
            } = metric;
            let star = if *is_optional { "*" } else { "" };
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let by = if labels.is_empty() {
                String::new()
            } else {
                format!(" by {}", labels.join(", "))
            };
            writeln!(
                text,
                "| `{name}`{star} | {} ({}{by}) | {action} |",
                help,
                kind.as_str()
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn the_dashboard_is_made_from_the_list() {
    let (path, made) = ("deploy/grafana/dm-node.json", dashboard());
    if is_updating() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        fs::write(at_root(path), text).unwrap();
    }
    let committed: Value = serde_json::from_str(&read(path)).unwrap();
    assert!(committed == made, "{path} {OUTDATED}");
}

const PANELS_IN_A_ROW: usize = 3;
const PANEL_WIDTH: usize = 24 / PANELS_IN_A_ROW;
const PANEL_HEIGHT: usize = 8;

/// A row for each group, and a panel for each metric.
fn dashboard() -> Value {
    let (mut panels, mut y) = (Vec::new(), 0);
    for Group { title, metrics } in list::GROUPS {
        panels.push(json!({
            "id": panels.len() + 1,
            "type": "row",
            "title": title,
            "collapsed": false,
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
            "panels": [],
        }));
        y += 1;
        for row in metrics.chunks(PANELS_IN_A_ROW) {
            for (place, metric) in row.iter().enumerate() {
                let mut panel = panel(metric);
                panel["id"] = json!(panels.len() + 1);
                panel["gridPos"] =
                    json!({"x": place * PANEL_WIDTH, "y": y, "w": PANEL_WIDTH, "h": PANEL_HEIGHT});
                panels.push(panel);
            }
            y += PANEL_HEIGHT;
        }
    }
    json!({
        "uid": "dm-node",
        "title": "DataMgmt nodes",
        "tags": ["datamgmt"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus"},
            {
                "name": "instance",
                "type": "query",
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "query": {"query": "label_values(dm_build_info, instance)", "refId": "instances"},
                "refresh": 2,
                "includeAll": true,
                "multi": true,
            },
        ]},
        "panels": panels,
    })
}

fn panel(metric: &Metric) -> Value {
    let name = metric.name;
    let only = "{instance=~\"$instance\"}";
    let by = ["instance"]
        .iter()
        .chain(metric.labels)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    let legend: String = ["instance"]
        .iter()
        .chain(metric.labels)
        .map(|label| format!("{{{{{label}}}}} "))
        .collect();
    let targets: Vec<(String, String)> = match metric.kind {
        Kind::Gauge | Kind::Info => vec![(format!("{name}{only}"), legend)],
        Kind::Counter => vec![(format!("sum by ({by}) (rate({name}{only}[5m]))"), legend)],
        Kind::Histogram => [("0.5", "median"), ("0.99", "99 %")]
            .map(|(quantile, title)| {
                let rate = format!("rate({name}_bucket{only}[5m])");
                let query = format!("histogram_quantile({quantile}, sum by (le, {by}) ({rate}))");
                (query, format!("{legend}{title}"))
            })
            .into(),
    };
    let targets: Vec<Value> = targets
        .iter()
        .zip("ABC".chars())
        .map(|((query, legend), id)| json!({"refId": id.to_string(), "expr": query, "legendFormat": legend.trim()}))
        .collect();
    json!({
        "type": "timeseries",
        "title": metric.help,
        "description": metric.action,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {"defaults": {"unit": unit(metric), "min": 0}, "overrides": []},
        "targets": targets,
    })
}

fn unit(metric: &Metric) -> &'static str {
    let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
    match (metric.kind, name) {
        (_, "dm_process_start_time_seconds") => "dateTimeFromNow",
        (Kind::Counter, name) if name.ends_with("_bytes") => "Bps",
        (Kind::Counter, _) => "cps",
        (_, name) if name.ends_with("_bytes") => "bytes",
        (_, name) if name.ends_with("_seconds") => "s",
        _ => "short",
    }
}

/// The metrics that a text names, as the list has them.
fn named_in(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\bdm_[a-z_]+").unwrap();
    let histograms: Vec<&str> = list::all()
        .filter(|metric| metric.kind == Kind::Histogram)
        .map(|metric| metric.name)
        .collect();
    name.find_iter(text)
        .map(|found| {
            let found = found.as_str();
            let series = ["_bucket", "_sum", "_count"];
            let stem = series.iter().find_map(|ending| found.strip_suffix(ending));
            stem.filter(|stem| histograms.contains(stem))
                .unwrap_or(found)
                .to_owned()
        })
        .collect()
}

#[test]
fn alerts_and_documents_name_no_metric_that_there_is_not() {
    let known: BTreeSet<String> = list::all().map(|metric| metric.name.to_owned()).collect();
    for path in [
        "deploy/prometheus/rules.yaml",
        "deploy/prometheus/rules-test.yaml",
        "deploy/grafana/dm-node.json",
        "docs/monitoring.md",
    ] {
        let named = named_in(&read(path));
        assert!(!named.is_empty(), "{path} names no metric: the search is broken");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
}

#[test]
fn each_alert_has_a_section_that_says_what_to_do_and_a_test() {
    let (rules, tests, manual) = (
        read("deploy/prometheus/rules.yaml"),
        read("deploy/prometheus/rules-test.yaml"),
        read("docs/monitoring.md"),
    );
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 12, "{alerts:?}");
    for alert in &alerts {
        assert!(
            manual.contains(&format!("\n### {alert}\n")),
            "monitoring.md has no section {alert}"
        );
        assert!(
            tests.contains(&format!("alertname: {alert}\n")),
            "no test fires {alert}"
        );
        let runbook = format!("docs/monitoring.md#{}", alert.to_lowercase());
        assert!(
            rules.contains(&runbook),
            "{alert} does not say where its section is"
        );
    }
    assert_eq!(rules.matches("runbook_url: ").count(), alerts.len());
}
