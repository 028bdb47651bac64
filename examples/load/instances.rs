//! Instances of one node over one PostgreSQL and one bucket, beside what the same servers do
//! without a node.

use std::path::Path;

use dm_testing::waiting::PATIENCE;

use self::commons::Commons;

mod bucket;
mod commons;
mod failover;
#[allow(clippy::unwrap_used, dead_code, reason = "it belongs to the tests")]
#[path = "../../tests/support/postgres.rs"]
mod postgres;
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "it belongs to the tests"
)]
#[path = "../../tests/support/process.rs"]
mod process;
mod reads;
mod rows;
mod shares;

/// Measures these parts, each over a new database; without a name, all. Where PostgreSQL or
/// the store is not installed, it says so and measures nothing.
pub(crate) async fn measure(binary: &Path, wanted: &[String]) -> anyhow::Result<()> {
    for part in ["shares", "failover", "reads", "bucket"] {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == part) {
            continue;
        }
        let Some(commons) = Commons::make(binary).await? else {
            return Ok(());
        };
        match part {
            "shares" => shares::measure(&commons).await?,
            "failover" => failover::measure(&commons).await?,
            "reads" => reads::measure(&commons).await?,
            _ => bucket::measure(&commons).await?,
        }
    }
    Ok(())
}
