//! Whether the provider can be asked.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_core::{
    health::{Finding, Trouble},
    ports::HealthCheck,
};
use tokio_util::sync::CancellationToken;

use crate::OidcProvider;

/// After so many pauses, what the provider has published is looked at again.
const PAUSES_BETWEEN_LOOKS: u32 = 6;
/// Shortest time between two looks.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

impl OidcProvider {
    /// Looks at the provider once a minute, and every ten seconds while it cannot be asked, until the
    /// shutdown.
    ///
    /// # Errors
    /// Never.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(self.pause.max(LEAST_PAUSE));
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            shutdown.run_until_cancelled(self.look()).await;
        }
        Ok(())
    }

    /// Reads the discovery document and the keys again where they are a minute old or could not be
    /// read.
    pub async fn look(&self) {
        let age = self.pause * PAUSES_BETWEEN_LOOKS;
        self.metadata.look(age, self.fetch_metadata()).await;
        self.keys.look(age, self.fetch_keys()).await;
    }
}

#[async_trait]
impl HealthCheck for OidcProvider {
    fn part(&self) -> &'static str {
        "sign_in"
    }

    async fn check(&self) -> Finding {
        let Some(failure) = self.metadata.failure().or_else(|| self.keys.failure()) else {
            return Finding::Working;
        };
        Finding::Degraded(Trouble::new(
            format!("{}: {failure}", self.issuer),
            "look at the provider, at sign_in.issuer and at the way of this machine to it; \
             nobody can sign in meanwhile, while sessions and API keys count as ever, and access tokens \
             for a day where the provider's keys are known",
        ))
    }
}
