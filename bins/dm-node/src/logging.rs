//! Log lines on standard error, with a filter that can be changed while the
//! node runs.

use std::io::{self, IsTerminal};

use anyhow::Context;
use dm_core::{
    config::{LogConfig, LogFormat},
    ports::{InvalidLogFilter, LogControl},
};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// Begins to log and returns the control of the filter.
///
/// # Errors
/// Where the filter cannot be read.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<LogFilter> {
    let filter = EnvFilter::builder()
        .parse(&config.filter)
        .with_context(|| format!("log.filter: `{}` is no log filter", config.filter))?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let lines: Box<dyn Layer<_> + Send + Sync> = match config.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .context("cannot begin to log")?;
    Ok(LogFilter { handle })
}

/// Changes the filter of a running process.
pub(crate) struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl LogControl for LogFilter {
    fn filter(&self) -> String {
        self.handle.with_current(ToString::to_string).unwrap_or_default()
    }

    fn set_filter(&self, filter: &str) -> Result<(), InvalidLogFilter> {
        let parsed = EnvFilter::builder()
            .parse(filter)
            .map_err(|error| InvalidLogFilter(error.to_string()))?;
        self.handle
            .reload(parsed)
            .map_err(|error| InvalidLogFilter(error.to_string()))?;
        tracing::info!(filter, "the log filter was changed");
        Ok(())
    }
}
