//! Log lines on standard error, with a filter that can be changed while the
//! node runs.

use std::io::{self, IsTerminal};

use anyhow::Context;
use dm_core::{
    config::{LogConfig, LogFormat},
    ports::{InvalidLogFilter, LogControl},
};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Modules of the HTTP library that call what a client did an error, and have no errors of their own.
const CLIENT_FAULTS: [&str; 3] = [
    "actix_http::h1::dispatcher",
    "actix_http::h1::decoder",
    "actix_http::ws::codec",
];

/// Begins to log and returns the control of the filter.
///
/// # Errors
/// Where the filter cannot be read.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<LogFilter> {
    let filter = parse_filter(&config.filter)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let lines: Box<dyn Layer<_> + Send + Sync> = match config.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter_fn(|line| !is_about_a_client(line)));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .context("cannot begin to log")?;
    Ok(LogFilter { handle })
}

/// Whether a line of the HTTP library calls a fault of the node what a client did: it sent what
/// is no HTTP or no WebSocket, or broke a body off. The client has its answer, and nobody may fill
/// the log with errors from outside.
fn is_about_a_client(line: &Metadata<'_>) -> bool {
    *line.level() == Level::ERROR && CLIENT_FAULTS.contains(&line.target())
}

/// Reads a filter such as `info,dm_p2p=debug`.
///
/// # Errors
/// Where the text is no filter.
pub(crate) fn parse_filter(text: &str) -> Result<EnvFilter, InvalidLogFilter> {
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| InvalidLogFilter(error.to_string()))
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
        let parsed = parse_filter(filter)?;
        self.handle
            .reload(parsed)
            .map_err(|error| InvalidLogFilter(error.to_string()))?;
        tracing::info!(filter, "the log filter was changed");
        Ok(())
    }
}
