//! From the start of the process to a node that answers, on existing data.

use std::{path::Path, time::Duration};

use crate::{node::Node, report, shares::share_for};

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let node = Node::start_in(binary, home.path(), &[]).await?;
    share_for(&node, Duration::from_secs(2)).await?;
    node.stop().await?;
    let mut times = Vec::new();
    let mut memory = 0.0;
    for _ in 0..5 {
        let node = Node::start_in(binary, home.path(), &[]).await?;
        times.push(node.started_in.as_secs_f64());
        tokio::time::sleep(Duration::from_secs(2)).await;
        memory = node.memory()?.0;
        node.stop().await?;
    }
    report::line(
        "start to healthy on existing data",
        &format!("{:.2} s", report::median(times)),
        "goal 0.5 s; the older node: 1.9 s",
    );
    report::line(
        "resident memory when idle",
        &format!("{memory:.0} MiB"),
        "goal 60 MiB; the older node: 124 MiB",
    );
    Ok(())
}
