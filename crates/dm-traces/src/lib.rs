#![doc = include_str!("../README.md")]

mod exporter;
mod health;
mod otlp;
mod protobuf;
mod queue;

pub use exporter::{Exporter, ExporterConfig, InvalidCollector};
pub use health::CollectorHealth;
pub use queue::TraceMeter;
