//! Measures a whole node over HTTP and prints each figure beside its limit or
//! peer from the same run.
//!
//! ```sh
//! cargo build --release && cargo run --release --example load -- target/release/dm-node
//! ```
//!
//! Names of measurements after the binary run only these: `start`, `shares`, `recipients`,
//! `latency`, `reads`, `verify`, `upload`, `download`, `webhooks`, `subscriptions`, `inbox`,
//! `acknowledged`, `metrics`; and some that are left out otherwise: `waiting` starts twenty nodes;
//! `growth` takes some ten minutes; `size`, and numbers of objects behind it, measures nodes
//! that store as many, keeps their data directories in the folder that `--in` names or uses those that
//! are there, and writes plots into the folder that `--plots` names. A million objects
//! take some ten minutes and 2 GB of the folder for temporary files. `fill OBJECTS FOLDER` only
//! makes the data directory of a node with as many objects, a tenth of them its own, for
//! `dm-node dev --data-dir FOLDER`. `peers OBJECTS PEERS` measures an idle node with as many objects,
//! alone and beside as many peers, each a process of 50 MiB. `against OTHER [ROUNDS]` does the same
//! work with this binary and another one in turn and prints the ratios, and `iroh PEER [ROUNDS]` does
//! so with the program of `examples/iroh-blobs`. `leaving OBJECTS` simulates that a holder of as many objects
//! leaves for good. `instances`, and any of `shares`, `failover`, `reads` and `bucket` behind it,
//! measures instances of one node over PostgreSQL (`POSTGRES_BIN`) and a bucket (`MOTO_SERVER`).

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

mod acknowledged;
mod beside;
mod chain;
mod collector;
mod growth;
mod http;
mod inbox;
mod instances;
mod latency;
mod leaving;
mod limits;
mod metrics;
mod node;
mod objects;
mod peers;
mod reads;
mod receiver;
mod recipients;
mod report;
mod shares;
mod size;
mod start;
mod subscriptions;
mod verify;
mod waiting;
mod webhooks;

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let Some(first) = args.next() else {
        bail!(
            "usage: load PATH-OF-DM-NODE [start|shares|recipients|latency|reads|verify|upload|download|webhooks|subscriptions|inbox|acknowledged|metrics|waiting|growth]… [against OTHER [ROUNDS] | iroh PEER [ROUNDS] | fill OBJECTS FOLDER | instances [shares|failover|reads|bucket]… | leaving OBJECTS | peers OBJECTS PEERS | size OBJECTS… [--in FOLDER] [--plots FOLDER]]"
        );
    };
    if first == limits::EMPTY_SERVER {
        return limits::serve_empty_route().await;
    }
    let binary = PathBuf::from(first)
        .canonicalize()
        .context("the binary of dm-node")?;
    let wanted: Vec<String> = args.map(|name| name.to_string_lossy().into_owned()).collect();
    if let [command, objects, folder] = &wanted[..]
        && command == "fill"
    {
        return size::fill(&binary, Path::new(folder), objects.parse()?)
            .await
            .map(drop);
    }
    if let [command, objects, peers] = &wanted[..]
        && command == "peers"
    {
        return peers::measure(&binary, objects.parse()?, peers.parse()?).await;
    }
    if let [command, other, rounds @ ..] = &wanted[..]
        && let Some(other) = beside::Side::of(command, Path::new(other))?
    {
        let rounds = rounds
            .first()
            .map_or(Ok(beside::ROUNDS), |rounds| rounds.parse())?;
        return beside::measure(&beside::Side::Node(binary), &other, rounds).await;
    }
    if let [command, parts @ ..] = &wanted[..]
        && command == "instances"
    {
        return instances::measure(&binary, parts).await;
    }
    if let [command, objects] = &wanted[..]
        && command == "leaving"
    {
        return leaving::measure(objects.parse()?).await;
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if is_wanted("start") {
        start::measure(&binary).await?;
    }
    if is_wanted("shares") {
        shares::measure(&binary).await?;
    }
    if is_wanted("recipients") {
        recipients::measure(&binary).await?;
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
    if is_wanted("webhooks") {
        webhooks::measure(&binary).await?;
    }
    if is_wanted("subscriptions") {
        subscriptions::measure(&binary).await?;
    }
    if is_wanted("inbox") {
        inbox::measure(&binary).await?;
    }
    if is_wanted("acknowledged") {
        acknowledged::measure(&binary).await?;
    }
    if is_wanted("metrics") {
        metrics::measure(&binary).await?;
    }
    if wanted.iter().any(|wanted| wanted == "waiting") {
        waiting::measure(&binary).await?;
    }
    if wanted.iter().any(|wanted| wanted == "growth") {
        growth::measure(&binary).await?;
    }
    if let Some(place) = wanted.iter().position(|wanted| wanted == "size") {
        measure_sizes(&binary, &wanted[place + 1..]).await?;
    }
    Ok(())
}

/// The numbers of objects, where data directories are kept, and where the plots go.
async fn measure_sizes(binary: &Path, args: &[String]) -> anyhow::Result<()> {
    let (mut sizes, mut kept, mut plots) = (Vec::new(), None, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--in" => kept = args.next().map(Path::new),
            "--plots" => plots = args.next().map(Path::new),
            size => sizes.push(size.parse()?),
        }
    }
    let costs = size::measure(binary, &sizes, kept).await?;
    plots.map_or(Ok(()), |folder| size::write_plots(folder, &costs))
}
