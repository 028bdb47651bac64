//! The traces of the node: who is told of them, where that is set.

use dm_core::{config::TracesConfig, span::Tracer, tasks::Supervisor};
use dm_traces::{Exporter, ExporterConfig};

use crate::background::supervise;

/// Sends spans in the background, where a collector is set.
///
/// # Errors
/// Where the setting is no URL, or TLS cannot be set up; never where the collector is away.
pub(crate) fn start(config: &TracesConfig, supervisor: &Supervisor) -> anyhow::Result<Option<Exporter>> {
    let Some(url) = config.collector()? else {
        return Ok(None);
    };
    let exporter = Exporter::new(&ExporterConfig {
        url: url.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
    })?;
    supervise(supervisor, "traces", &exporter, |exporter, shutdown| async move {
        exporter.run(shutdown).await
    });
    Ok(Some(exporter))
}

/// Makes the node's spans; without an exporter nobody is told of them.
pub(crate) fn tracer(exporter: Option<&Exporter>, config: &TracesConfig) -> Tracer {
    exporter.map_or_else(Tracer::default, |exporter| {
        exporter.tracer(f64::from(config.sample_percent) / 100.0, config.show_data)
    })
}
