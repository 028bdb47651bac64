//! The health of what only the leader does.

use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{health::Finding, ports::HealthCheck};

use super::Leadership;

struct LedHealth {
    check: Arc<dyn HealthCheck>,
    leadership: Leadership,
}

impl Leadership {
    /// The same part, which is judged while this instance leads, and works else.
    pub fn judge(&self, check: Arc<dyn HealthCheck>) -> Arc<dyn HealthCheck> {
        Arc::new(LedHealth {
            check,
            leadership: self.clone(),
        })
    }
}

#[async_trait]
impl HealthCheck for LedHealth {
    fn part(&self) -> &'static str {
        self.check.part()
    }

    async fn check(&self) -> Finding {
        match self.leadership.epoch() {
            Some(_) => self.check.check().await,
            None => Finding::Working,
        }
    }
}
