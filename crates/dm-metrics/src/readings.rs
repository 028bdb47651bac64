//! What the metrics are at a moment.

use std::collections::BTreeMap;

use dm_core::meter::HistogramReading;

use crate::list::{Kind, Metric};

/// Tells what metrics are at the moment, from what is in memory: it neither asks anybody nor
/// reads a store, and may be called often.
pub trait Source: Send + Sync {
    /// Adds its readings.
    fn read(&self, readings: &mut Readings);
}

impl<F: Fn(&mut Readings) + Send + Sync> Source for F {
    fn read(&self, readings: &mut Readings) {
        self(readings);
    }
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a gauge, a counter or an info.
    Number(f64),
    /// Of a histogram.
    Buckets(HistogramReading),
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value as f64)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Number(value as f64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Number(f64::from(u8::from(value)))
    }
}

impl From<HistogramReading> for Value {
    fn from(value: HistogramReading) -> Self {
        Self::Buckets(value)
    }
}

/// One value of a metric, with the values of its labels.
pub(crate) type Reading = (Vec<String>, Value);

/// What the metrics are at a moment.
#[derive(Debug, Default)]
pub struct Readings(BTreeMap<&'static str, Vec<Reading>>);

impl Readings {
    /// Adds the value of a metric with these values of its labels, in their order. What does
    /// not fit the metric is not shown.
    pub fn add(&mut self, metric: &Metric, labels: &[&str], value: impl Into<Value>) {
        let value = value.into();
        let fits = labels.len() == metric.labels.len()
            && matches!(value, Value::Buckets(_)) == (metric.kind == Kind::Histogram);
        debug_assert!(fits, "{} has no such reading", metric.name);
        if fits {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            self.0.entry(metric.name).or_default().push((labels, value));
        }
    }

    /// The values of a metric.
    pub(crate) fn of(&self, metric: &Metric) -> &[Reading] {
        self.0.get(metric.name).map_or(&[], Vec::as_slice)
    }
}
