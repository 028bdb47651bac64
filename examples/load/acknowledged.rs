//! Shares that are described, that another node is told of, fetches and acknowledges, beside
//! shares of the same two nodes of which nobody is told.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    chain::{Chain, FUNDED_KEYS},
    http::{Connection, request},
    node::Node,
    report,
    shares::{make_many, share_many},
};

/// Shares of one round, and rounds, in turn with either recipient.
const ROUND: u64 = 2_000;
const ROUNDS: u32 = 3;
/// The goal of the ratio.
const GOAL: u32 = 70;
/// How long the last acknowledgement of a round may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let chain = Chain::start(binary, &home.path().join("chain")).await?;
    let start = async |name: &str, key: &str, args: &[&str]| {
        let variables = [
            ("BLOCKCHAIN_URL", chain.url.as_str()),
            ("PRIVATE_KEY", key),
            ("DM_INBOX__FETCH__FROM", "anyone"),
        ];
        Node::start_with(binary, &home.path().join(name), args, &variables).await
    };
    let owner = start("owner", FUNDED_KEYS[0], &[]).await?;
    let reader = start("reader", FUNDED_KEYS[1], &["--peer", &owner.p2p]).await?;
    // Strangers are heard at a limited rate.
    reader.add_contact("owner", &owner.address).await?;
    // The nodes find each other, and the owner learns the key of the reader.
    share_many(&owner, ROUND).await?;
    exchange(&owner, &reader, ROUND / 10).await?;
    let (mut alone, mut told, mut settled) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut cpu_alone, mut cpu_told) = ([Duration::ZERO; 2], [Duration::ZERO; 2]);
    for _ in 0..ROUNDS {
        let (began, cpu) = (Instant::now(), cpu_of([&owner, &reader])?);
        share_many(&owner, ROUND).await?;
        alone += began.elapsed();
        add(&mut cpu_alone, cpu, cpu_of([&owner, &reader])?);
        let cpu = cpu_of([&owner, &reader])?;
        let (answered, acknowledged) = exchange(&owner, &reader, ROUND).await?;
        told += answered;
        settled += acknowledged;
        add(&mut cpu_told, cpu, cpu_of([&owner, &reader])?);
    }
    owner.stop().await?;
    reader.stop().await?;
    let rate = |took: Duration| ROUND as f64 * f64::from(ROUNDS) / took.as_secs_f64();
    report::line(
        "shares that another node is told of, fetches and acknowledges",
        &format!("{:.0}/s", rate(told)),
        &format!(
            "{:.0} % of {:.0}/s that nobody is told of; goal {GOAL} %",
            100.0 * rate(told) / rate(alone),
            rate(alone),
        ),
    );
    report::line(
        "the same to the last acknowledgement",
        &format!("{:.0}/s", rate(settled)),
        "",
    );
    let [owner, reader] = cpu_told.map(each);
    let alone = cpu_alone.map(each);
    report::line(
        "CPU of the owner and of the reader for each, to the last acknowledgement",
        &format!("{owner:.2} and {reader:.2} ms"),
        &format!(
            "beside {:.2} and {:.2} ms until the answer to one that nobody is told of",
            alone[0], alone[1],
        ),
    );
    Ok(())
}

fn cpu_of(nodes: [&Node; 2]) -> anyhow::Result<[Duration; 2]> {
    Ok([nodes[0].cpu()?, nodes[1].cpu()?])
}

fn add(sum: &mut [Duration; 2], before: [Duration; 2], after: [Duration; 2]) {
    for (sum, (before, after)) in sum.iter_mut().zip(before.into_iter().zip(after)) {
        *sum += after - before;
    }
}

/// Milliseconds for each share.
fn each(cpu: Duration) -> f64 {
    cpu.as_secs_f64() * 1000.0 / (ROUND as f64 * f64::from(ROUNDS))
}

/// Makes shares with a name; how long it took until they were answered, and until all were
/// acknowledged.
async fn exchange(owner: &Node, reader: &Node, shares: u64) -> anyhow::Result<(Duration, Duration)> {
    let place = acknowledged_after(owner, "now", 0).await?.1;
    let began = Instant::now();
    make_many(
        owner,
        |number| named_request(owner, &reader.address, number),
        shares,
    )
    .await?;
    let answered = began.elapsed();
    let (mut place, mut acknowledged) = (place, 0);
    while acknowledged < shares {
        ensure!(
            began.elapsed() < PATIENCE,
            "{acknowledged} of {shares} shares were acknowledged"
        );
        let (count, next) = acknowledged_after(owner, &place, 1).await?;
        acknowledged += count;
        place = next;
    }
    Ok((answered, began.elapsed()))
}

/// A request to share 1 KiB under a name that differs for each number.
fn named_request(owner: &Node, reader: &str, number: u64) -> Vec<u8> {
    let (data, name) = (format!("{number:01024}"), format!("measurement-{number}.txt"));
    let body = serde_json::json!({
        "data": data, "recipient": reader, "name": name, "media_type": "text/plain",
        "labels": {"kind": "measurement"},
    });
    request("POST", "/share_data", &owner.api_key, body.to_string().as_bytes())
}

/// How many shares were acknowledged after this place in the journal, which is waited for, and
/// the next place.
async fn acknowledged_after(owner: &Node, place: &str, wait: u64) -> anyhow::Result<(u64, String)> {
    let route = format!("/events?topics=data.acknowledged&limit=1000&cursor={place}&wait={wait}");
    let mut connection = Connection::open(&owner.external_api).await?;
    let response = connection
        .exchange(&request("GET", &route, &owner.api_key, b""))
        .await?;
    let page: Value = serde_json::from_slice(&response.body)?;
    let events = page["events"].as_array().with_context(|| page.to_string())?;
    let next = page["cursor"].as_str().context("a cursor")?;
    Ok((events.len() as u64, next.to_owned()))
}
