//! `dm-node support-bundle`: an archive for who helps with a node.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt};

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    cli::SupportBundleArgs,
    home,
    output::{self, cell},
    paths::input_path,
    support_bundle::Bundle,
};

/// Never over another file.
pub(crate) async fn run(args: &SupportBundleArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let loaded = home::load_to_run(&args.node);
    let config_file = home::config_file(&args.node).ok().flatten();
    let mut bundle = Bundle::begin(loaded.as_ref(), config_file.as_deref(), &args.client.api_key).await;
    bundle.ask(&client).await;
    if let Some(log) = &args.log {
        bundle.add_log(input_path(log))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let place = || format!("cannot make {}", args.file.display());
    let file = options.open(&args.file).with_context(place)?;
    bundle.write(file).with_context(place)?;
    let made = json!({"file": args.file, "entries": bundle.names()});
    output::print(as_json, &made, describe)
}

fn describe(made: &Value) -> String {
    let entries = made["entries"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<String> = entries.iter().map(cell).collect();
    format!(
        "{} holds {}. Look through it before you pass it on.",
        cell(&made["file"]),
        names.join(", ")
    )
}
