//! Readings as OpenMetrics text.

use std::fmt::{self, Write};

use dm_core::meter::{Exemplar, HistogramReading};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use crate::{
    list::{self, Kind, Metric},
    readings::{Readings, Value},
};

/// Media type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The readings of all metrics of the list, in its order.
pub(crate) fn text(readings: Readings) -> Result<String, fmt::Error> {
    let exemplars = exemplars_of_buckets(&readings);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Moment(readings)));
    let mut text = String::with_capacity(64 * 1024);
    text::encode(&mut text, &registry)?;
    if exemplars.iter().all(Option::is_none) {
        return Ok(text);
    }
    with_exemplars(&text, exemplars)
}

/// The exemplars of all buckets in the order of their lines; `None` for a bucket without one.
fn exemplars_of_buckets(readings: &Readings) -> Vec<Option<Exemplar>> {
    let values = list::all().flat_map(|metric| readings.of(metric));
    let of_buckets = values.filter_map(|(_, value)| match value {
        Value::Number(_) => None,
        Value::Buckets(reading) => Some(&reading.exemplars),
    });
    of_buckets.flatten().copied().collect()
}

/// Writes exemplars behind the lines of their buckets: the library has no way to make one.
fn with_exemplars(text: &str, exemplars: Vec<Option<Exemplar>>) -> Result<String, fmt::Error> {
    let mut exemplars = exemplars.into_iter();
    let mut whole = String::with_capacity(text.len() + 16 * 1024);
    for line in text.lines() {
        whole.push_str(line);
        let name = line.split('{').next().unwrap_or_default();
        if !line.starts_with('#')
            && name.ends_with("_bucket")
            && let Some(exemplar) = exemplars.next().flatten()
        {
            let (trace, seconds) = (exemplar.trace, exemplar.at as f64 / 1000.0);
            write!(
                whole,
                " # {{trace_id=\"{}\",span_id=\"{}\"}} {} {seconds:.3}",
                trace.trace_id, trace.span_id, exemplar.value
            )?;
        }
        whole.push('\n');
    }
    Ok(whole)
}

#[derive(Debug)]
struct Moment(Readings);

impl Collector for Moment {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for metric in list::all() {
            let readings = self.0.of(metric);
            if readings.is_empty() {
                continue;
            }
            let (stem, unit) = parts_of_name(metric);
            let kind = metric_type(metric.kind);
            let mut family = encoder.encode_descriptor(stem, metric.help, unit.as_ref(), kind)?;
            for (values, value) in readings {
                let labels: Vec<(&str, &str)> = metric
                    .labels
                    .iter()
                    .copied()
                    .zip(values.iter().map(String::as_str))
                    .collect();
                match (metric.kind, labels.is_empty()) {
                    (Kind::Info, _) => family.encode_info(&labels)?,
                    (_, true) => encode(&mut family, metric.kind, value)?,
                    (_, false) => encode(&mut family.encode_family(&labels)?, metric.kind, value)?,
                }
            }
        }
        Ok(())
    }
}

/// The name without what the format adds, and the unit.
fn parts_of_name(metric: &Metric) -> (&'static str, Option<Unit>) {
    let ending = match metric.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    };
    let name = metric.name.strip_suffix(ending).unwrap_or(metric.name);
    let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
    let found = units
        .into_iter()
        .find_map(|(ending, unit)| Some((name.strip_suffix(ending)?, Some(unit))));
    found.unwrap_or((name, None))
}

fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Counter => MetricType::Counter,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> Result<(), fmt::Error> {
    match value {
        Value::Number(number) if kind == Kind::Counter => {
            encoder.encode_counter::<NoLabelSet, f64, f64>(number, None)
        }
        Value::Number(number) => encoder.encode_gauge(number),
        Value::Buckets(HistogramReading { sum, buckets, .. }) => {
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::time::Duration;

    use dm_core::{meter::Histogram, span::TraceContext};

    use super::*;

    #[test]
    fn the_bucket_of_a_traced_value_has_its_trace_as_exemplar_and_no_other_line_has() {
        let trace = TraceContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let (plain, traced) = (Histogram::of_seconds(), Histogram::of_seconds());
        plain.took(Duration::from_millis(30));
        traced.took_in(Duration::from_millis(30), Some(trace));
        let mut readings = Readings::default();
        readings.add(&list::WEBHOOK_SECONDS, &[], plain.reading());
        readings.add(
            &list::HTTP_SECONDS,
            &["external", "GET", "/x{y}"],
            traced.reading(),
        );
        let text = text(readings).unwrap();
        let with: Vec<&str> = text.lines().filter(|line| line.contains(" # ")).collect();
        assert_eq!(with.len(), 1, "{text}");
        let start = r#"dm_http_request_duration_seconds_bucket{le="0.05",api="external",method="GET",route="/x{y}"} 1 # {trace_id="0af7651916cd43dd8448eb211c80319c",span_id="b7ad6b7169203331"} 0.03 "#;
        assert!(with[0].starts_with(start), "{}", with[0]);
        assert!(text.ends_with("# EOF\n"));
    }
}
