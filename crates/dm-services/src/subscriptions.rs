//! Programs that are called when something happens: at least once for each event, and in
//! order. A receiver that is slow or away delays nobody but itself.

mod delivery;
mod health;
mod meter;
mod recent;
mod rewinds;
mod secrets;
mod workers;

use std::sync::Arc;

use dm_core::{
    clock::now_ms,
    journal::{Cursor, Topics},
    ports::{CatalogError, EventJournal, JournalExtent, Sealer, Signer, SubscriptionCatalog, Webhooks},
    span::Tracer,
    subscription::{
        DeadLetter, EventMatch, MAX_FILTER_LABELS, MAX_NAME, MAX_URL, Progress, Subscription, SubscriptionId,
        SubscriptionState,
    },
};
use tokio::sync::Notify;

pub use self::meter::{DeliveryMeter, DeliveryTotals};
use self::{recent::RecentEvents, rewinds::Rewinds, secrets::Secrets};
use crate::{
    ServiceError,
    events::{From, position_of},
};

/// Subscriptions that a node has at most.
const MAX_SUBSCRIPTIONS: usize = 1000;

/// What subscriptions stand on.
#[derive(Clone)]
pub struct SubscriptionPorts {
    /// Keeps them.
    pub catalog: Arc<dyn SubscriptionCatalog>,
    /// What happened.
    pub journal: Arc<dyn EventJournal>,
    /// Calls receivers.
    pub webhooks: Arc<dyn Webhooks>,
    /// Seals the keys of the calls.
    pub sealer: Arc<dyn Sealer>,
    /// The node account.
    pub signer: Arc<dyn Signer>,
    /// Is told of calls about events that belong to a trace.
    pub tracer: Tracer,
}

/// A subscription that is asked for.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// Its name: 1 to 100 characters, none of them a control character.
    pub name: String,
    /// Where the receiver is.
    pub url: String,
    /// What it is told of.
    pub topics: Topics,
    /// Which events of these topics.
    pub filter: EventMatch,
    /// The first event.
    pub start: From,
    /// `whsec_` and 24 to 64 bytes in Base64, where the receiver has chosen it.
    pub secret: Option<String>,
}

/// Calls programs when something happens; cheap to clone.
#[derive(Clone)]
pub struct Subscriptions {
    ports: SubscriptionPorts,
    secrets: Secrets,
    recent: RecentEvents,
    rewinds: Rewinds,
    /// A subscription was made, changed or removed.
    changed: Arc<Notify>,
    meter: Arc<DeliveryMeter>,
}

impl Subscriptions {
    /// Nothing is delivered before [`Subscriptions::run`].
    ///
    /// # Errors
    /// Where the node account cannot sign.
    pub fn new(ports: SubscriptionPorts) -> Result<Self, ServiceError> {
        let secrets = Secrets::of(&ports)?;
        Ok(Self {
            recent: RecentEvents::new(ports.journal.clone()),
            ports,
            secrets,
            rewinds: Rewinds::default(),
            changed: Arc::default(),
            meter: Arc::default(),
        })
    }

    /// Makes a subscription. The second value is the key of the calls, which is told now
    /// and never again.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] with the field that is not valid,
    /// [`ServiceError::Rejected`] where the name is taken or there are too many; faults of
    /// the catalog.
    pub async fn create(&self, new: NewSubscription) -> Result<(Subscription, String), ServiceError> {
        check(&new, self.ports.webhooks.as_ref())?;
        let secret = self.secrets.read_or_make(new.secret.as_deref())?;
        let extent = self.ports.journal.journal_extent().await?;
        let read_to = position_of(new.start, &extent)?;
        if self.ports.catalog.subscriptions().await?.len() >= MAX_SUBSCRIPTIONS {
            let reason = format!("cannot be added: the node has {MAX_SUBSCRIPTIONS} subscriptions already");
            return Err(ServiceError::rejected("name", reason));
        }
        let subscription = Subscription {
            id: SubscriptionId(rand::random()),
            name: new.name,
            url: new.url,
            topics: new.topics,
            filter: new.filter,
            sealed_secret: self.secrets.seal(&secret),
            created_at: now_ms(),
            state: SubscriptionState::Active,
            progress: Progress {
                read_to,
                ..Progress::default()
            },
        };
        match self.ports.catalog.insert_subscription(&subscription).await {
            Ok(()) => {}
            Err(CatalogError::Conflict(_)) => {
                return Err(ServiceError::rejected("name", "is that of another subscription"));
            }
            Err(error) => return Err(error.into()),
        }
        self.changed.notify_one();
        Ok((subscription, secrets::text(&secret)))
    }

    /// All subscriptions, oldest first.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn list(&self) -> Result<Vec<Subscription>, ServiceError> {
        let extent = self.ports.journal.journal_extent().await?;
        let mut kept = self.ports.catalog.subscriptions().await?;
        kept.iter_mut()
            .for_each(|subscription| count_missed(subscription, &extent));
        Ok(kept)
    }

    /// The subscription with this id.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; faults of the catalog.
    pub async fn get(&self, id: SubscriptionId) -> Result<Subscription, ServiceError> {
        let extent = self.ports.journal.journal_extent().await?;
        let kept = self.ports.catalog.subscription(id).await?;
        let mut kept = kept.ok_or(ServiceError::NotFound)?;
        count_missed(&mut kept, &extent);
        Ok(kept)
    }

    /// Stops deliveries, or goes on with them, also where the receiver had ended them.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; faults of the catalog.
    pub async fn set_paused(&self, id: SubscriptionId, paused: bool) -> Result<Subscription, ServiceError> {
        let state = match paused {
            true => SubscriptionState::Paused,
            false => SubscriptionState::Active,
        };
        let is_there = self.ports.catalog.set_subscription_state(id, state).await?;
        self.ensure_changed(is_there)?;
        self.get(id).await
    }

    /// Delivers what came after this place again, dead letters included.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`] for a place that there is not;
    /// faults of the catalog.
    pub async fn replay(&self, id: SubscriptionId, after: Cursor) -> Result<(), ServiceError> {
        let extent = self.ports.journal.journal_extent().await?;
        let read_to = position_of(From::After(after), &extent)?;
        let rewind = self.ports.catalog.rewind(id, read_to);
        let is_there = self.rewinds.rewind(id, rewind).await?;
        self.ensure_changed(is_there)
    }

    /// Forgets a subscription.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; faults of the catalog.
    pub async fn remove(&self, id: SubscriptionId) -> Result<(), ServiceError> {
        let is_there = self.ports.catalog.remove_subscription(id).await?;
        self.ensure_changed(is_there)
    }

    /// Events that were given up, oldest first, after this position of the journal.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; faults of the catalog.
    pub async fn dead_letters(
        &self,
        id: SubscriptionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ServiceError> {
        self.get(id).await?;
        Ok(self.ports.catalog.dead_letters(id, after, limit).await?)
    }

    fn ensure_changed(&self, is_there: bool) -> Result<(), ServiceError> {
        self.changed.notify_one();
        is_there.then_some(()).ok_or(ServiceError::NotFound)
    }
}

/// Counts what a subscription will miss because it was forgotten meanwhile, too.
fn count_missed(subscription: &mut Subscription, extent: &JournalExtent) {
    let progress = &mut subscription.progress;
    progress.missed += extent.forgotten_after(progress.read_to);
}

fn check(new: &NewSubscription, webhooks: &dyn Webhooks) -> Result<(), ServiceError> {
    let is_name =
        (1..=MAX_NAME).contains(&new.name.chars().count()) && !new.name.chars().any(char::is_control);
    if !is_name {
        let reason = "must be 1 to 100 characters, none of them a control character";
        return Err(ServiceError::invalid("name", reason));
    }
    if new.url.len() > MAX_URL {
        return Err(ServiceError::invalid("url", "has more than 2048 bytes"));
    }
    webhooks
        .check(&new.url)
        .map_err(|reason| ServiceError::invalid("url", reason))?;
    if new.filter.labels.len() > MAX_FILTER_LABELS {
        return Err(ServiceError::invalid("filter", "has more than 32 labels"));
    }
    Ok(())
}
