//! Delivers the events of one subscription, one after the other.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    journal::{JournalEvent, JournalId},
    ports::{CatalogError, WebhookAnswer, WebhookCall},
    span::{self, Span, SpanKind},
    subscription::{DeadLetter, Progress, Subscription, SubscriptionId, SubscriptionState},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Subscriptions, secrets::Secret};
use crate::events::CloudEvent;

/// Pauses after the first attempt that failed, the second, and so on. An event that was
/// tried once more after the last pause is given up.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
];
/// How long deliveries go on before it is kept how far they are: what was delivered after
/// that is delivered again after a kill.
const KEEP_AFTER: Duration = Duration::from_secs(1);
/// The same where nothing was delivered, and events were only passed over.
const KEEP_SKIPS_AFTER: Duration = Duration::from_secs(60);
/// Pause after a fault of the catalog.
pub(super) const AFTER_FAULT: Duration = Duration::from_secs(1);

/// What is being delivered for one subscription.
struct Delivery<'a> {
    subscriptions: &'a Subscriptions,
    subscription: Subscription,
    secret: Secret,
    journal: JournalId,
    /// Rewinds of the subscription before it began.
    rewinds: u64,
    /// The progress that the catalog has.
    kept: Progress,
    kept_at: Instant,
    /// Position of the last event that was delivered.
    delivered: u64,
}

/// Why deliveries ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All that there was to deliver is delivered.
    Done,
    /// Nothing is to be delivered any more, or not from this place on.
    Gone,
}

/// An error says that the catalog is closed.
fn end_where_closed(grown: Result<(), watch::error::RecvError>) -> End {
    grown.map_or(End::Gone, |()| End::Done)
}

impl Subscriptions {
    /// Delivers until it is stopped, the receiver is gone, or the subscription is.
    pub(super) async fn deliver_all(self, id: SubscriptionId, rewinds: u64, stop: CancellationToken) {
        loop {
            let delivering = self.deliver_until_fault(id, rewinds, &stop);
            match delivering.await {
                Ok(_) => return,
                Err(error) => tracing::warn!(subscription = %id, %error, "events cannot be delivered"),
            }
            if stop
                .run_until_cancelled(tokio::time::sleep(AFTER_FAULT))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    async fn deliver_until_fault(
        &self,
        id: SubscriptionId,
        rewinds: u64,
        stop: &CancellationToken,
    ) -> Result<End, CatalogError> {
        let Some(subscription) = self.ports.catalog.subscription(id).await? else {
            return Ok(End::Gone);
        };
        let Some(secret) = self.secrets.open(&subscription.sealed_secret) else {
            tracing::error!(subscription = %id, "the key of a subscription cannot be opened; make it anew");
            stop.cancelled().await;
            return Ok(End::Gone);
        };
        let mut delivery = Delivery {
            subscriptions: self,
            rewinds,
            kept: subscription.progress.clone(),
            kept_at: Instant::now(),
            delivered: subscription.progress.read_to,
            secret,
            journal: self.ports.journal.journal_extent().await?.id,
            subscription,
        };
        match stop.run_until_cancelled(delivery.go_on()).await {
            Some(ended) => ended,
            None => {
                delivery.keep(None).await?;
                Ok(End::Gone)
            }
        }
    }
}

impl Delivery<'_> {
    /// Delivers what there is and what comes, until there is a reason to end.
    async fn go_on(&mut self) -> Result<End, CatalogError> {
        let subscriptions = self.subscriptions;
        let mut growth = subscriptions.ports.journal.journal_growth();
        loop {
            growth.mark_unchanged();
            let (topics, read_to) = (&self.subscription.topics, self.subscription.progress.read_to);
            let page = subscriptions.recent.page(topics, read_to).await?;
            self.skip_forgotten(page.forgotten);
            let mut end = self.deliver_page(page.events).await?;
            if end == End::Done {
                self.subscription.progress.read_to = page.read_to;
                end = self.keep_from_time_to_time().await?;
            }
            if end == End::Done && page.is_end {
                end = self.wait(&mut growth).await?;
            }
            if end != End::Done {
                return Ok(end);
            }
        }
    }

    /// Waits until the journal grows. Meanwhile it is kept how far deliveries are.
    async fn wait(&mut self, growth: &mut watch::Receiver<u64>) -> Result<End, CatalogError> {
        if self.kept != self.subscription.progress {
            match timeout_at(self.keep_at(), growth.changed()).await {
                Ok(grown) => return Ok(end_where_closed(grown)),
                Err(_) if self.keep(None).await? == End::Gone => return Ok(End::Gone),
                Err(_) => {}
            }
        }
        Ok(end_where_closed(growth.changed().await))
    }

    /// Counts the events that are not kept any more and that the receiver can never have.
    fn skip_forgotten(&mut self, forgotten: u64) {
        if forgotten == 0 {
            return;
        }
        let id = self.subscription.id;
        tracing::warn!(subscription = %id, forgotten, "events were forgotten before they could be delivered");
        let progress = &self.subscription.progress;
        self.subscription.progress = Progress {
            read_to: progress.read_to + forgotten,
            missed: progress.missed + forgotten,
            ..Progress::default()
        };
    }

    async fn deliver_page(&mut self, events: Vec<Arc<JournalEvent>>) -> Result<End, CatalogError> {
        for event in events {
            if !self.subscription.filter.admits(&event.data) {
                continue;
            }
            let mut end = self.deliver(&event).await?;
            if end == End::Done {
                end = self.keep_from_time_to_time().await?;
            }
            if end != End::Done {
                return Ok(end);
            }
        }
        Ok(End::Done)
    }

    /// Tries until the receiver has the event, or it is given up.
    async fn deliver(&mut self, event: &JournalEvent) -> Result<End, CatalogError> {
        loop {
            let pause = self.subscription.progress.next_try.saturating_sub(now_ms());
            // A sleep takes a millisecond at least, also that of no time.
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            match self.call(event).await {
                WebhookAnswer::Taken => {
                    self.done_with(event.position);
                    return Ok(End::Done);
                }
                WebhookAnswer::Gone => return self.end().await,
                WebhookAnswer::Failed { reason } => {
                    let end = self.failed(event, reason).await?;
                    let is_given_up = self.subscription.progress.read_to == event.position;
                    if end != End::Done || is_given_up {
                        return Ok(end);
                    }
                }
            }
        }
    }

    async fn call(&self, event: &JournalEvent) -> WebhookAnswer {
        let ports = &self.subscriptions.ports;
        let mut span = ports
            .tracer
            .begin_recorded("webhook", SpanKind::Client, event.trace);
        // Another instance may record the trace.
        let trace = span.as_ref().map(Span::context).or(event.trace);
        let event = CloudEvent::new(self.journal, event.clone(), ports.signer.address());
        let call = WebhookCall {
            url: self.subscription.url.clone(),
            secret: self.secret.clone(),
            id: event.id.to_string(),
            at: now_ms() / 1000,
            // An event always has a JSON form.
            body: Bytes::from(serde_json::to_vec(&event).unwrap_or_default()),
            trace,
        };
        let calling = async {
            let started = Instant::now();
            let answer = ports.webhooks.call(call).await;
            self.subscriptions.meter.called(started, &answer);
            answer
        };
        let answer = span::within(span.as_ref(), calling).await;
        if let (WebhookAnswer::Failed { .. }, Some(span)) = (&answer, &mut span) {
            span.fail();
        }
        answer
    }

    /// Notes an attempt that failed, and when the next one is. Without a next one the
    /// event is given up.
    async fn failed(&mut self, event: &JournalEvent, reason: String) -> Result<End, CatalogError> {
        let now = now_ms();
        let progress = &mut self.subscription.progress;
        progress.attempts += 1;
        progress.last_error = Some(reason.clone());
        let attempts = progress.attempts;
        if let Some(pause) = PAUSES.get(attempts as usize - 1) {
            progress.next_try = now + pause.as_millis() as u64;
            return self.keep(None).await;
        }
        let id = self.subscription.id;
        tracing::warn!(subscription = %id, position = event.position, reason, "an event was given up");
        self.subscriptions.meter.given_up.increment();
        self.done_with(event.position);
        self.subscription.progress.last_error = Some(reason.clone());
        self.keep(Some(DeadLetter {
            position: event.position,
            topic: event.topic.clone(),
            attempts,
            failed_at: now,
            reason,
        }))
        .await
    }

    fn done_with(&mut self, position: u64) {
        self.delivered = position;
        self.subscription.progress = Progress {
            read_to: position,
            missed: self.subscription.progress.missed,
            ..Progress::default()
        };
    }

    /// The receiver wants no more.
    async fn end(&mut self) -> Result<End, CatalogError> {
        let id = self.subscription.id;
        tracing::info!(subscription = %id, "the receiver of a subscription is gone");
        let catalog = &self.subscriptions.ports.catalog;
        catalog
            .set_subscription_state(id, SubscriptionState::Ended)
            .await?;
        Ok(End::Gone)
    }

    /// When it is to be kept how far deliveries are.
    fn keep_at(&self) -> Instant {
        let has_delivered = self.delivered > self.kept.read_to;
        self.kept_at
            + if has_delivered {
                KEEP_AFTER
            } else {
                KEEP_SKIPS_AFTER
            }
    }

    async fn keep_from_time_to_time(&mut self) -> Result<End, CatalogError> {
        if Instant::now() < self.keep_at() {
            return Ok(End::Done);
        }
        self.keep(None).await
    }

    async fn keep(&mut self, given_up: Option<DeadLetter>) -> Result<End, CatalogError> {
        self.kept_at = Instant::now();
        let (subscriptions, id) = (self.subscriptions, self.subscription.id);
        let progress = &self.subscription.progress;
        if self.kept == *progress && given_up.is_none() {
            return Ok(End::Done);
        }
        let catalog = &subscriptions.ports.catalog;
        let write = catalog.set_progress(id, self.kept.read_to, progress, given_up.as_ref());
        let is_kept = subscriptions
            .rewinds
            .unless_rewound(id, self.rewinds, write)
            .await?;
        self.kept = progress.clone();
        Ok(if is_kept == Some(true) {
            End::Done
        } else {
            End::Gone
        })
    }
}
