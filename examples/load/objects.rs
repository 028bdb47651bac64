//! One object of 1 GiB: into a node, and out of another one.

use std::{path::Path, time::Instant};

use anyhow::ensure;

use crate::{
    http::{Connection, head, request},
    limits,
    node::Node,
    report,
};

pub(crate) const SIZE: usize = 1 << 30;
const PIECE: usize = 1 << 20;

pub(crate) async fn measure_upload(binary: &Path) -> anyhow::Result<()> {
    let limit = limits::sealing_rate();
    let disk = limits::disk_rate(SIZE >> 20)?;
    let node = Node::start(binary, &[]).await?;
    node.forget_peak();
    let cpu = node.cpu()?;
    let (rate, _) = upload(&node, &node.address).await?;
    let cpu = (node.cpu()? - cpu).as_secs_f64();
    report::line(
        "PUT of 1 GiB, durable, no peers",
        &format!("{rate:.0} MiB/s"),
        &format!(
            "{:.0} % of sealing and hashing on both cores ({limit:.0} MiB/s); goal 65 %",
            100.0 * rate / limit
        ),
    );
    report::line(
        "CPU of the node",
        &format!("{cpu:.1} s"),
        &format!("both cores could give {:.1} s", 2.0 * (SIZE >> 20) as f64 / rate),
    );
    report::line(
        "a file of 1 GiB, written and synced",
        &format!("{disk:.0} MiB/s"),
        "",
    );
    report::line(
        "most resident memory",
        &format!("{:.0} MiB", node.memory()?.1),
        "goal 150 MiB",
    );
    node.stop().await?;
    Ok(())
}

pub(crate) async fn measure_download(binary: &Path) -> anyhow::Result<()> {
    let owner = Node::start(binary, &[]).await?;
    let reader_args = ["--peer", owner.p2p.as_str()];
    // The reader must not get a copy while the object is shared, and must have
    // announced itself so that there is a grant: it keeps nothing for others.
    let home = tempfile::tempdir()?;
    let reader = Node::start_in(binary, home.path(), &reader_args).await?;
    let address = reader.address.clone();
    wait_for_peer(&owner).await?;
    reader.stop().await?;
    let (_, hash) = upload(&owner, &address).await?;
    let reader = Node::start_in(binary, home.path(), &reader_args).await?;
    wait_for_peer(&reader).await?;
    owner.forget_peak();
    reader.forget_peak();
    let (rate, first_byte) = download(&reader, &hash).await?;
    report::line(
        "GET of 1 GiB from another node",
        &format!("{rate:.0} MiB/s"),
        "goal 150 MiB/s",
    );
    report::line("first byte", &format!("{first_byte:.0} ms"), "goal 50 ms");
    report::line(
        "most resident memory, owner and reader",
        &format!("{:.0}, {:.0} MiB", owner.memory()?.1, reader.memory()?.1),
        "goal 150 MiB",
    );
    owner.stop().await?;
    reader.stop().await?;
    Ok(())
}

/// Uploads an object; MiB/s and its data hash.
pub(crate) async fn upload(node: &Node, recipient: &str) -> anyhow::Result<(f64, String)> {
    let mut piece = vec![0; PIECE];
    let mut connection = Connection::open(&node.external_api).await?;
    let began = Instant::now();
    let route = format!("/objects?recipient={recipient}");
    connection.send(&head("PUT", &route, &node.api_key, SIZE)).await?;
    for number in 0..SIZE / PIECE {
        piece[..8].copy_from_slice(&(number as u64).to_le_bytes());
        connection.send(&piece).await?;
    }
    let response = connection.read_response().await?;
    ensure!(
        response.status == 201,
        "{}",
        String::from_utf8_lossy(&response.body)
    );
    let rate = (SIZE >> 20) as f64 / began.elapsed().as_secs_f64();
    let answer: serde_json::Value = serde_json::from_slice(&response.body)?;
    Ok((rate, answer["data_hash"].as_str().unwrap_or_default().to_owned()))
}

/// Downloads an object; MiB/s and milliseconds to the first byte of the body.
pub(crate) async fn download(node: &Node, hash: &str) -> anyhow::Result<(f64, f64)> {
    let mut connection = Connection::open(&node.external_api).await?;
    let began = Instant::now();
    connection
        .send(&request("GET", &format!("/objects/{hash}"), &node.api_key, b""))
        .await?;
    let (status, length) = connection.read_head().await?;
    ensure!(status == 200, "the node answers {status}");
    let mut received = connection.take_some().await?;
    let first_byte = began.elapsed().as_secs_f64() * 1000.0;
    while received < length {
        received += connection.take_some().await?;
    }
    let rate = (length >> 20) as f64 / began.elapsed().as_secs_f64();
    Ok((rate, first_byte))
}

pub(crate) async fn wait_for_peer(node: &Node) -> anyhow::Result<()> {
    let mut connection = Connection::open(&node.external_api).await?;
    for _ in 0..200 {
        let response = connection
            .exchange(&request("GET", "/network/stats", &node.api_key, b""))
            .await?;
        let stats: serde_json::Value = serde_json::from_slice(&response.body)?;
        if stats["active_peers"].as_u64() > Some(0) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the nodes do not find each other")
}
