//! Looks at what has come, and lists it.

use std::convert::Infallible;

use dm_core::{
    acknowledgement::Delivery,
    clock::{LATEST_MS, now_ms},
    config::Accept,
    descriptor::Descriptor,
    envelope::{ObjectId, SignedEnvelope},
    inbox::{Arrival, InboxItem, ItemState},
    plugin::{ReceiveStage, ReceivedView},
    ports::{Found, Standing},
    receipt::Verification,
    trace::Trace,
};
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{Inbox, Inner, standing_of};
use crate::{ServiceError, attachments};

/// Objects that are taken from the catalog at a time.
const PAGE: usize = 64;
/// Objects that are looked at at the same time. Each is waited for a while at peers, which
/// costs little.
const AT_ONCE: usize = 32;

impl Inbox {
    /// Lists what has come and what comes, until `shutdown`. What cannot be looked at now
    /// is tried again after a pause.
    ///
    /// # Errors
    /// Those of the catalog; whoever supervises it starts it again.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let Inner { ports, settings, .. } = &*self.inner;
        let work = async {
            if let Some(plugins) = &ports.plugins {
                plugins.wait_until_started().await;
            }
            loop {
                self.take_in().await?;
                ports.arrivals.wait(settings.retry_interval).await;
            }
        };
        let done: Option<Result<Infallible, ServiceError>> = shutdown.run_until_cancelled(work).await;
        match done {
            Some(Err(error)) => Err(error),
            Some(Ok(never)) => match never {},
            None => Ok(()),
        }
    }

    /// Looks once at everything that has come.
    async fn take_in(&self) -> Result<(), ServiceError> {
        let inner = &self.inner;
        let mut after = None;
        loop {
            let page = inner.ports.catalog.arrivals(after, PAGE).await?;
            let Some(last) = page.last().copied() else {
                return Ok(());
            };
            stream::iter(page)
                .for_each_concurrent(AT_ONCE, |arrival| async move {
                    if let Err(error) = inner.settle(&arrival).await {
                        let object = arrival.object;
                        tracing::warn!(locator = %object.locator, owner = %object.owner, %error, "an arrival is looked at again later");
                    }
                })
                .await;
            after = Some(last.object);
        }
    }
}

impl Inner {
    async fn settle(&self, arrival: &Arrival) -> Result<(), ServiceError> {
        let object = &arrival.object;
        if object.owner != self.own {
            let stored = self.ports.objects.envelope(object).await?;
            let is_here = is_as_said(stored.as_ref(), arrival);
            if !is_here && !self.misses.is_due(object, now_ms()) {
                return Ok(());
            }
            let newest = match is_here {
                true => stored,
                false => self.newest_at_peers(arrival, stored).await?,
            };
            if let Some(envelope) = &newest {
                self.look_at(envelope).await?;
            }
            // Who spoke of it may have been quicker than the object, or than its newest envelope.
            if !is_as_said(newest.as_ref(), arrival) && self.misses.note(object, now_ms()) {
                return Ok(());
            }
            self.misses.forget(object);
        }
        Ok(self.ports.catalog.settle_arrival(arrival).await?)
    }

    /// Brings the item of an object to what its envelope says, or lists one.
    async fn look_at(&self, envelope: &SignedEnvelope) -> Result<(), ServiceError> {
        let (catalog, object) = (&self.ports.catalog, &envelope.id);
        let listed = catalog.inbox_item(object).await?;
        match (listed, self.end_of(envelope)) {
            (Some(item), Some(_)) if item.sequence > envelope.sequence => Ok(()),
            (Some(_), Some(end)) => Ok(catalog.advance_item(object, end, now_ms()).await.map(drop)?),
            (None, Some(_)) => Ok(()),
            (Some(item), None) if is_settled(&item, envelope) => Ok(()),
            (Some(item), None) if self.is_listed_as_it_is(&item, envelope) => self.take_up(&item).await,
            (listed, None) => self.list(envelope, listed.as_ref()).await,
        }
    }

    /// The newest envelope of an object at peers, or the one that is stored here. Who spoke of it
    /// is asked first, and others only where that has no such envelope.
    async fn newest_at_peers(
        &self,
        arrival: &Arrival,
        stored: Option<SignedEnvelope>,
    ) -> Result<Option<SignedEnvelope>, ServiceError> {
        let (network, trace) = (&self.ports.network, Trace::default());
        let (locator, owners) = (&arrival.object.locator, [arrival.object.owner]);
        let known = network.find_at_known(locator, &owners, &trace).await?;
        let newest = newest_of(&arrival.object, known, stored);
        if is_as_said(newest.as_ref(), arrival) {
            return Ok(newest);
        }
        let found = network.find(locator, &owners, &trace).await?;
        Ok(newest_of(&arrival.object, found, newest))
    }

    /// Why this node cannot read the object, if it cannot.
    fn end_of(&self, envelope: &SignedEnvelope) -> Option<ItemState> {
        if envelope.is_tombstone() {
            Some(ItemState::Erased)
        } else if envelope.is_expired(now_ms()) {
            Some(ItemState::Expired)
        } else if !envelope.grants_to(self.own) {
            Some(ItemState::Revoked)
        } else {
            None
        }
    }

    async fn list(&self, envelope: &SignedEnvelope, listed: Option<&InboxItem>) -> Result<(), ServiceError> {
        let Some(descriptor) = self.descriptor(envelope) else {
            return Ok(());
        };
        let anchored = self.is_anchored(envelope, &descriptor).await?;
        let acquaintance = self.ports.acquaintance.as_deref();
        let standing = standing_of(acquaintance, envelope.id.owner).await;
        let may_enter = listed.is_some() || self.is_let_in(standing, anchored);
        if !may_enter || !self.is_allowed(envelope, &descriptor, anchored, listed).await? {
            return Ok(());
        }
        let (sealer, owner, now) = (self.ports.sealer.as_ref(), envelope.id.owner, now_ms());
        let (state, fetched_at) = self.state_of(envelope, &descriptor, listed).await?;
        let item = InboxItem {
            data_hash: descriptor.data_hash,
            owner,
            size: envelope.size,
            descriptor: self.keys.seal(sealer, &descriptor),
            // Its sender may say what no catalog can keep.
            sequence: envelope.sequence.min(i64::MAX as u64),
            shared_at: envelope.created_at.min(now),
            received_at: now,
            expires_at: envelope.expires_at.map(|at| at.min(LATEST_MS)),
            state,
            fetched_at,
            anchored,
        };
        let mut terms = self.keys.terms_of(&descriptor);
        terms.push(self.keys.from(owner));
        if self.ports.catalog.list_item(&item, &terms).await? {
            tracing::info!(locator = %envelope.id.locator, %owner, "the inbox has a new item");
        }
        self.take_up(&item).await
    }

    /// Has a listed item fetched at once, if it is one that is to be.
    async fn take_up(&self, item: &InboxItem) -> Result<(), ServiceError> {
        match &self.ports.fetches {
            Some(fetches) => fetches.take_up(item).await,
            None => Ok(()),
        }
    }

    /// Whether an item says all that this envelope does, which has no receipt yet: an object and
    /// the notice of it come one after the other.
    fn is_listed_as_it_is(&self, item: &InboxItem, envelope: &SignedEnvelope) -> bool {
        let (sealer, own) = (self.ports.sealer.as_ref(), Some(self.own));
        !item.state.is_over()
            && item.sequence == envelope.sequence
            && attachments::receipt_in(sealer, envelope, &item.data_hash, own).is_none()
    }

    /// What the sender says of the object. One of an earlier version says nothing, not even
    /// which data it is.
    fn descriptor(&self, envelope: &SignedEnvelope) -> Option<Descriptor> {
        let key = match self.ports.grants.open_grant(envelope) {
            Ok(key) => key?,
            Err(error) => {
                tracing::warn!(locator = %envelope.id.locator, owner = %envelope.id.owner, %error, "unusable grant");
                return None;
            }
        };
        attachments::open_descriptor(self.ports.sealer.as_ref(), envelope, &key)
    }

    /// Whether the chain has the share with this node, by the receipt that came with it.
    async fn is_anchored(
        &self,
        envelope: &SignedEnvelope,
        descriptor: &Descriptor,
    ) -> Result<bool, ServiceError> {
        let (sealer, own) = (self.ports.sealer.as_ref(), Some(self.own));
        match attachments::receipt_in(sealer, envelope, &descriptor.data_hash, own) {
            Some(receipt) => Ok(self.ports.log.verify(&receipt).await? == Verification::Valid),
            None => Ok(false),
        }
    }

    fn is_let_in(&self, standing: Standing, anchored: bool) -> bool {
        match standing {
            Standing::Contact => true,
            Standing::Blocked => false,
            Standing::Stranger => match self.settings.accept {
                Accept::Contacts => false,
                Accept::Anchored => anchored,
                Accept::Anyone => true,
            },
        }
    }

    /// Whether no plugin has anything against listing the object, or against what is said
    /// of it now.
    async fn is_allowed(
        &self,
        envelope: &SignedEnvelope,
        descriptor: &Descriptor,
        anchored: bool,
        listed: Option<&InboxItem>,
    ) -> Result<bool, ServiceError> {
        let Some(plugins) = &self.ports.plugins else {
            return Ok(true);
        };
        if listed.is_some_and(|item| self.descriptor_of(item) == *descriptor) {
            return Ok(true);
        }
        let received = ReceivedView {
            data_hash: descriptor.data_hash,
            owner: envelope.id.owner,
            size: envelope.size,
            anchored,
            description: descriptor.description.clone(),
            stage: ReceiveStage::Listing,
        };
        match plugins.before_receive(&received).await {
            Ok(_notes) => Ok(true),
            Err(ServiceError::Refused { plugin, reason }) => {
                if self.refused.add(envelope.id) {
                    let id = &envelope.id;
                    tracing::info!(plugin, reason, locator = %id.locator, owner = %id.owner, "a plugin does not let an object into the inbox");
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Data that was read here before it was listed is not new; since when it is not.
    async fn state_of(
        &self,
        envelope: &SignedEnvelope,
        descriptor: &Descriptor,
        listed: Option<&InboxItem>,
    ) -> Result<(ItemState, Option<u64>), ServiceError> {
        let catalog = &self.ports.catalog;
        let readable = catalog.readable(&descriptor.data_hash).await?;
        let is_read =
            readable.is_some_and(|read| read.id == envelope.id && read.chunk_list == envelope.chunk_list);
        if !is_read {
            return Ok((ItemState::New, None));
        }
        // What was said of an item before its end is not said of what begins anew.
        let is_of_this = |delivery: &Delivery| {
            let ended = listed.filter(|item| item.state.is_over());
            ended.is_none_or(|item| {
                delivery.statement.sequence > item.sequence || envelope.sequence <= item.sequence
            })
        };
        let delivery = catalog.delivery(&envelope.id, self.own).await?;
        Ok(match delivery.filter(is_of_this) {
            Some(Delivery {
                statement,
                leaf_index: Some(_),
                ..
            }) => (ItemState::Acknowledged, Some(statement.fetched_at)),
            Some(Delivery { statement, .. }) => (ItemState::Fetched, Some(statement.fetched_at)),
            None => (ItemState::Fetched, Some(now_ms())),
        })
    }
}

/// The newest envelope of an object among those that were found, and the one that was known.
fn newest_of(object: &ObjectId, found: Vec<Found>, known: Option<SignedEnvelope>) -> Option<SignedEnvelope> {
    let envelopes = found.into_iter().map(|found| found.envelope);
    let of_object = envelopes.filter(|envelope| envelope.id == *object);
    of_object.chain(known).max_by_key(|envelope| envelope.sequence)
}

/// Whether this is the envelope that was spoken of, or a later one.
fn is_as_said(envelope: Option<&SignedEnvelope>, arrival: &Arrival) -> bool {
    envelope.is_some_and(|envelope| envelope.sequence >= arrival.sequence)
}

/// Whether an item says all that this envelope does: several peers may speak of each one, and
/// looking at it takes a question to the chain.
fn is_settled(item: &InboxItem, envelope: &SignedEnvelope) -> bool {
    item.anchored && !item.state.is_over() && item.sequence == envelope.sequence
}
