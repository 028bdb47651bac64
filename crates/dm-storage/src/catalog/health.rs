//! How the catalog is: judged by its last write, the room on its disk, and the rows
//! that cannot be read.

use async_trait::async_trait;
use dm_core::{
    health::{Finding, Trouble},
    ports::HealthCheck,
};

use super::SqliteCatalog;
use crate::disk::space::Space;

#[async_trait]
impl HealthCheck for SqliteCatalog {
    fn part(&self) -> &'static str {
        "catalog"
    }

    async fn check(&self) -> Finding {
        if let Err(error) = self.writer.probe().await {
            return Finding::Failed(Trouble::new(error.to_string(), "restart the node"));
        }
        match self.state.fault() {
            Some(fault) => Finding::Failed(
                Trouble::new(
                    format!("the catalog cannot be written: {}", fault.reason),
                    "make room on the disk of the catalog, mend or replace it, or stop the process that holds its lock; the node goes on by itself",
                )
                .since(fault.since),
            ),
            None => match self.space.as_ref().map_or(Finding::Working, Space::judge) {
                Finding::Working => self.unreadable.judge(),
                short => short,
            },
        }
    }
}
