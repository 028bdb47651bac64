//! A node of one's own: the same command line as `dm-node`, with two plugins
//! in Rust.
//!
//! ```sh
//! export AUDIT_LOG_FILE=audit.jsonl
//! export WEBHOOK_URL=https://hooks.example.org/datamgmt WEBHOOK_SECRET_FILE=secret
//! cargo run --example custom-node -- dev
//! ```

mod audit_log;
mod webhook;

use std::{env, fs, process::ExitCode, sync::Arc};

use anyhow::Context;
use dm_core::ports::Plugin;

use audit_log::AuditLog;
use webhook::Webhook;

fn main() -> ExitCode {
    match plugins() {
        Ok(plugins) => dm_node::run(plugins.into_iter().collect()),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The plugins whose settings are in the environment.
fn plugins() -> anyhow::Result<Vec<Arc<dyn Plugin>>> {
    let mut plugins: Vec<Arc<dyn Plugin>> = Vec::new();
    if let Some(file) = env::var_os("AUDIT_LOG_FILE") {
        plugins.push(Arc::new(AuditLog::new(file.into())));
    }
    if let Ok(url) = env::var("WEBHOOK_URL") {
        let file = env::var_os("WEBHOOK_SECRET_FILE").context("WEBHOOK_SECRET_FILE is not set")?;
        let secret =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.to_string_lossy()))?;
        plugins.push(Arc::new(Webhook::new(&url, secret.trim())?));
    }
    Ok(plugins)
}

#[cfg(test)]
mod tests;
