//! `verify_data` while the chain grows to 100,000 blocks and the log to a
//! million events. It takes some ten minutes, so it only runs when it is named.

use std::{path::Path, time::Duration};

use crate::{
    chain::{Chain, FUNDED_KEYS},
    node::Node,
    report,
    shares::share_for,
    verify::{share_and_ask, verify},
};

const EVENTS: [u64; 2] = [10, 1_000_000];
const HEIGHTS: [u64; 2] = [10, 100_000];
/// How long is shared before the events are counted again.
const ROUND: Duration = Duration::from_secs(10);

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let chain = Chain::start(binary, &home.path().join("chain")).await?;
    let node = Node::start_with(
        binary,
        &home.path().join("node"),
        &["--blockchain-url", &chain.url],
        &[("PRIVATE_KEY", FUNDED_KEYS[0])],
    )
    .await?;
    let mut request = Vec::new();
    for number in 0..EVENTS[0] {
        request = share_and_ask(&node, number).await?;
    }
    chain.grow_to(HEIGHTS[0]).await?;
    let first = verify(&node, &request).await?;
    line(
        &format!("{} events, height {}", EVENTS[0], chain.height().await?),
        first,
        first,
    );

    chain.grow_to(HEIGHTS[1]).await?;
    let high = verify(&node, &request).await?;
    line(
        &format!("{} events, height {}", EVENTS[0], chain.height().await?),
        high,
        first,
    );

    let mut events = EVENTS[0];
    while events < EVENTS[1] {
        events += share_for(&node, ROUND).await?;
    }
    let old = verify(&node, &request).await?;
    line(&format!("{events} events, the first share"), old, first);
    let new = verify(&node, &share_and_ask(&node, events).await?).await?;
    line(&format!("{events} events, the last share"), new, first);
    node.stop().await?;
    Ok(())
}

fn line(what: &str, milliseconds: f64, first: f64) {
    report::line(
        &format!("verify_data, {what}"),
        &format!("{milliseconds:.2} ms"),
        &format!("{:.2} times the first; goal 3 ms", milliseconds / first),
    );
}
