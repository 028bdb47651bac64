//! How the log is: judged by the age of the oldest event that is not anchored.

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    health::{Finding, Trouble},
    ports::HealthCheck,
};

use crate::manager::ComplianceManager;

#[async_trait]
impl HealthCheck for ComplianceManager {
    fn part(&self) -> &'static str {
        "log"
    }

    async fn check(&self) -> Finding {
        if let Some(fault) = self.fault_of_log() {
            return Finding::Failed(Trouble::new(
                fault,
                "stop whatever else uses this account, or restore the newest backup of the catalog",
            ));
        }
        match self.unanchored().await {
            Ok(None) => Finding::Working,
            Ok(Some(unanchored)) => unanchored.finding(now_ms()),
            Err(error) => Finding::Failed(Trouble::new(
                format!("the log cannot be read: {error}"),
                "look at the disk of the data directory and at the catalog in it",
            )),
        }
    }
}
