//! Judges deliveries by the receivers that have not taken an event for long.

use async_trait::async_trait;
use dm_core::{
    health::{Finding, Trouble},
    ports::HealthCheck,
};

use super::Subscriptions;

#[async_trait]
impl HealthCheck for Subscriptions {
    fn part(&self) -> &'static str {
        "webhooks"
    }

    async fn check(&self) -> Finding {
        match self.totals().await {
            Ok(totals) if totals.failing_long == 0 => Finding::Working,
            Ok(totals) => Finding::Degraded(Trouble::new(
                format!(
                    "{} of {} receivers of events have not taken an event for more than five minutes",
                    totals.failing_long, totals.active
                ),
                "look at `dm-node subscriptions` for the reasons; mend the receivers, or pause or remove their subscriptions",
            )),
            Err(error) => Finding::Degraded(Trouble::new(
                format!("the subscriptions cannot be read: {error}"),
                "look at the part catalog",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dm_core::{
        journal::Topics,
        ports::SubscriptionCatalog,
        span::Tracer,
        subscription::{EventMatch, Progress, Subscription, SubscriptionId, SubscriptionState},
    };
    use dm_testing::{
        catalog::MemoryCatalog, crypto::MemorySealer, signer::TestSigner, webhooks::MemoryWebhooks,
    };

    use super::*;
    use crate::{DeliveryTotals, SubscriptionPorts};

    fn subscription(n: u8, state: SubscriptionState, attempts: u32) -> Subscription {
        Subscription {
            id: SubscriptionId([n; 8]),
            name: n.to_string(),
            url: "https://receiver.example/".to_owned(),
            topics: Topics::new(["data.*"]).unwrap(),
            filter: EventMatch::default(),
            sealed_secret: Vec::new(),
            created_at: 1,
            state,
            progress: Progress {
                attempts,
                ..Progress::default()
            },
        }
    }

    #[tokio::test]
    async fn a_receiver_that_takes_nothing_for_long_is_told() {
        let catalog = Arc::new(MemoryCatalog::new());
        let subscriptions = Subscriptions::new(SubscriptionPorts {
            tracer: Tracer::default(),
            catalog: catalog.clone(),
            journal: catalog.clone(),
            webhooks: Arc::new(MemoryWebhooks::new()),
            sealer: Arc::new(MemorySealer),
            signer: Arc::new(TestSigner::new(1)),
        })
        .unwrap();
        let (active, paused) = (SubscriptionState::Active, SubscriptionState::Paused);
        for kept in [
            subscription(1, active, 0),
            subscription(2, active, 3),
            subscription(3, paused, 7),
        ] {
            catalog.insert_subscription(&kept).await.unwrap();
        }
        assert_eq!(subscriptions.check().await, Finding::Working);
        let totals = subscriptions.totals().await.unwrap();
        let expected = DeliveryTotals {
            active: 2,
            paused: 1,
            failing: 1,
            ..DeliveryTotals::default()
        };
        assert_eq!(totals, expected);
        catalog
            .insert_subscription(&subscription(4, active, 4))
            .await
            .unwrap();
        let told = subscriptions.check().await;
        assert!(
            matches!(&told, Finding::Degraded(trouble) if trouble.reason.starts_with("1 of 3 receivers")),
            "{told:?}"
        );
    }
}
