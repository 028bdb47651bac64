//! Measures a whole node over HTTP and prints each figure beside its limit or
//! peer from the same run.
//!
//! ```sh
//! cargo build --release && cargo run --release --example load -- target/release/dm-node
//! ```
//!
//! Names of measurements after the binary run only these: `start`, `shares`,
//! `latency`, `reads`, `verify`, `upload`, `download`; and `growth`, which takes
//! minutes and is left out otherwise.

use std::path::PathBuf;

use anyhow::{Context, bail};

mod growth;
mod http;
mod latency;
mod limits;
mod node;
mod objects;
mod reads;
mod report;
mod shares;
mod start;
mod verify;

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let Some(first) = args.next() else {
        bail!("usage: load PATH-OF-DM-NODE [start|shares|latency|reads|verify|upload|download|growth]…");
    };
    if first == limits::EMPTY_SERVER {
        return limits::serve_empty_route().await;
    }
    let binary = PathBuf::from(first)
        .canonicalize()
        .context("the binary of dm-node")?;
    let wanted: Vec<String> = args.map(|name| name.to_string_lossy().into_owned()).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if is_wanted("start") {
        start::measure(&binary).await?;
    }
    if is_wanted("shares") {
        shares::measure(&binary).await?;
    }
    if is_wanted("latency") {
        latency::measure(&binary).await?;
    }
    if is_wanted("reads") {
        reads::measure(&binary).await?;
    }
    if is_wanted("verify") {
        verify::measure(&binary).await?;
    }
    if is_wanted("upload") {
        objects::measure_upload(&binary).await?;
    }
    if is_wanted("download") {
        objects::measure_download(&binary).await?;
    }
    if wanted.iter().any(|wanted| wanted == "growth") {
        growth::measure(&binary).await?;
    }
    Ok(())
}
