//! The work, done by an owner and a reader of one binary.

use std::{path::Path, time::Instant};

use anyhow::ensure;

use super::{
    AGAIN, AT_ONCE, FETCH, FETCH_ALONE, FETCH_CPU, FETCH_SYNCED, FIRST_BYTE, Figure, IMPORT, IMPORT_CPU,
    MEMORY, SMALL, SMALL_AT_ONCE, SMALL_CPU, SMALL_EACH, SMALL_OBJECTS,
};
use crate::{
    http::{Connection, request},
    node::{Node, cpu_of},
    objects::{SIZE, download, upload, wait_for_peer},
    report::median,
};

/// The reader keeps no copies for others: whatever it reads it has to fetch.
const KEEPS_NOTHING: [(&str, &str); 1] = [("DM_NETWORK__MAX_FOREIGN_OBJECT", "1")];

pub(super) async fn round(binary: &Path) -> anyhow::Result<Vec<Figure>> {
    let owner = Node::start(binary, &[]).await?;
    let home = tempfile::tempdir()?;
    let arguments = ["--peer", owner.p2p.as_str()];
    let reader = Node::start_with(binary, home.path(), &arguments, &KEEPS_NOTHING).await?;
    wait_for_peer(&owner).await?;
    wait_for_peer(&reader).await?;
    let cpu = || anyhow::Ok((owner.cpu()? + reader.cpu()? + cpu_of("self")?).as_secs_f64());
    let mebibytes = (SIZE >> 20) as f64;

    let began = cpu()?;
    let (rate, hash) = upload(&owner, &reader.address).await?;
    let mut figures = vec![(IMPORT, mebibytes / rate), (IMPORT_CPU, cpu()? - began)];

    reader.forget_peak();
    let began = cpu()?;
    let (rate, first_byte) = download(&reader, &hash).await?;
    let seconds = mebibytes / rate;
    figures.extend([
        (FETCH, seconds),
        (FETCH_SYNCED, seconds),
        (FETCH_ALONE, seconds),
        (FETCH_CPU, cpu()? - began),
        (FIRST_BYTE, first_byte),
        (MEMORY, reader.memory()?.1),
    ]);
    let (rate, _) = download(&reader, &hash).await?;
    figures.push((AGAIN, mebibytes / rate));

    let routes = share_small(&owner, &reader.address).await?;
    let (one_by_one, at_once) = routes.split_at(SMALL_OBJECTS);
    let began = cpu()?;
    let each = fetch_small(&reader, one_by_one).await?;
    let fetches = at_once.chunks(SMALL_OBJECTS.div_ceil(AT_ONCE));
    let of_all = fetches.map(|routes| fetch_small(&reader, routes));
    let of_all = futures::future::try_join_all(of_all).await?.concat();
    figures.extend([
        (SMALL_EACH, median(each)),
        (SMALL_AT_ONCE, median(of_all)),
        (SMALL_CPU, (cpu()? - began) * 1000.0 / (2 * SMALL_OBJECTS) as f64),
    ]);
    owner.stop().await?;
    reader.stop().await?;
    Ok(figures)
}

/// Shares twice as many small objects as are fetched one by one; their routes.
async fn share_small(owner: &Node, recipient: &str) -> anyhow::Result<Vec<String>> {
    let mut connection = Connection::open(&owner.external_api).await?;
    let mut object = vec![0; SMALL];
    let mut routes = Vec::new();
    for number in 0..2 * SMALL_OBJECTS {
        object[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
        let route = format!("/objects?recipient={recipient}");
        let response = connection
            .exchange(&request("PUT", &route, &owner.api_key, &object))
            .await?;
        ensure!(
            response.status == 201,
            "{}",
            String::from_utf8_lossy(&response.body)
        );
        let answer: serde_json::Value = serde_json::from_slice(&response.body)?;
        let hash = answer["data_hash"].as_str().unwrap_or_default();
        routes.push(format!("/objects/{hash}"));
    }
    Ok(routes)
}

/// Fetches one after the other over one connection; the milliseconds of each.
async fn fetch_small(reader: &Node, routes: &[String]) -> anyhow::Result<Vec<f64>> {
    let mut connection = Connection::open(&reader.external_api).await?;
    let mut took = Vec::new();
    for route in routes {
        let began = Instant::now();
        let response = connection
            .exchange(&request("GET", route, &reader.api_key, b""))
            .await?;
        ensure!(
            response.status == 200 && response.body.len() == SMALL,
            "the node answers {} with {} bytes",
            response.status,
            response.body.len()
        );
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}
