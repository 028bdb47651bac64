//! What a share costs whose recipient is not known yet, beside one with the node itself.

use std::{path::Path, time::Duration};

use dm_core::Address;

use crate::{
    node::Node,
    report,
    shares::{share_many, share_many_with},
};

/// Shares of one round, and rounds, in turn with either recipient.
const ROUND: u64 = 2_000;
const ROUNDS: u32 = 5;
/// The goal of the ratio.
const GOAL: f64 = 1.2;

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let node = Node::start(binary, &[]).await?;
    let unknown = Address::repeat_byte(0xb0).to_string();
    // The first shares deploy the contract and fill the caches.
    share_many(&node, ROUND).await?;
    let (mut with_known, mut with_unknown) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let began = node.cpu()?;
        share_many(&node, ROUND).await?;
        let turned = node.cpu()?;
        share_many_with(&node, &unknown, ROUND).await?;
        with_known += turned - began;
        with_unknown += node.cpu()? - turned;
    }
    node.stop().await?;
    let milliseconds = |cpu: Duration| cpu.as_secs_f64() * 1000.0 / (ROUND as f64 * f64::from(ROUNDS));
    report::line(
        "CPU of a share with an unknown recipient",
        &format!("{:.2} ms", milliseconds(with_unknown)),
        &format!(
            "{:.2} times {:.2} ms with the node itself; goal {GOAL}",
            with_unknown.as_secs_f64() / with_known.as_secs_f64(),
            milliseconds(with_known),
        ),
    );
    Ok(())
}
