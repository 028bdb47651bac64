//! Readings as OpenMetrics text.

use std::fmt;

use dm_core::meter::HistogramReading;
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
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Moment(readings)));
    let mut text = String::with_capacity(64 * 1024);
    text::encode(&mut text, &registry)?;
    Ok(text)
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
        Value::Buckets(HistogramReading { sum, buckets }) => {
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}
