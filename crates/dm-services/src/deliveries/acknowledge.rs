//! Acknowledges what this node has read.

use dm_core::{
    acknowledgement::{Acknowledgement, Delivery},
    clock::now_ms,
    config::Acknowledge,
    envelope::{ObjectId, SignedEnvelope},
    hash::DataHash,
    inbox::{InboxItem, ItemState},
    ports::CatalogError,
    signed::Signed,
};

use super::{Deliveries, Inner};
use crate::ServiceError;

/// What was read.
struct Fetched {
    object: ObjectId,
    data_hash: DataHash,
    /// Of the envelope.
    sequence: u64,
    /// When, in milliseconds since the Unix epoch.
    at: u64,
}

/// What this node says of data that it has read.
pub(crate) struct Word {
    delivery: Delivery,
    /// Whether it is kept already.
    is_kept: bool,
    /// When the data was read, in milliseconds since the Unix epoch.
    read_at: u64,
}

impl Deliveries {
    /// What this node is to say of an object that it has read and whose data it has checked;
    /// `None` where it says nothing. That something cannot be acknowledged keeps nobody from
    /// reading.
    pub(crate) async fn word_on(&self, envelope: &SignedEnvelope, data_hash: &DataHash) -> Option<Word> {
        let is_wanted = self.inner.settings.acknowledge == Acknowledge::OnFetch;
        if !is_wanted || envelope.id.owner == self.inner.own {
            return None;
        }
        let fetched = Fetched {
            object: envelope.id,
            data_hash: *data_hash,
            sequence: envelope.sequence,
            at: now_ms(),
        };
        let word = async {
            let is_another = self.inner.is_another_version(envelope, data_hash).await?;
            self.inner.word_on(&fetched, is_another).await
        };
        let word = word.await;
        word.inspect_err(|error| not_acknowledged(&fetched.object, error))
            .ok()
    }

    /// Keeps what is to be said, if anything is. It is recorded once the catalog says that the data
    /// was read ([`Deliveries::record_soon`]), or after a restart.
    pub(crate) async fn keep(&self, word: Option<&Word>) {
        if let Some(word) = word
            && let Err(error) = self.inner.keep(word).await
        {
            not_acknowledged(&word.delivery.statement.object, &error);
        }
    }

    /// Acknowledges an item of the inbox; the same again is the same, unless the owner has shared
    /// the data again. Returns once its event is durable.
    ///
    /// # Errors
    /// [`ServiceError::NotFetched`] before it was read and checked here,
    /// [`ServiceError::ItemOver`] where it can be read no more, and
    /// [`ServiceError::AcknowledgesNothing`] where the operator wants it so; what was
    /// acknowledged before stays so in each case.
    pub(crate) async fn acknowledge(&self, item: &InboxItem) -> Result<Delivery, ServiceError> {
        let object = item.id();
        let kept = self.own(&object).await?;
        let is_said_before = kept.is_some();
        let is_said = |kept: &Delivery| is_settled(item.state) || !kept.makes_way_for(item.sequence);
        if let Some(kept) = kept.filter(is_said) {
            return self.record(kept).await;
        }
        if self.inner.settings.acknowledge == Acknowledge::Never {
            return Err(ServiceError::AcknowledgesNothing);
        }
        if item.state.is_over() {
            return Err(ServiceError::ItemOver(item.state));
        }
        if !self.inner.has_fetched(item, is_said_before).await? {
            return Err(ServiceError::NotFetched);
        }
        let fetched = Fetched {
            object,
            data_hash: item.data_hash,
            sequence: item.sequence,
            at: item.fetched_at.unwrap_or_else(now_ms),
        };
        let word = self.inner.word_on(&fetched, true).await?;
        let kept = self.inner.keep(&word).await?;
        self.record(kept).await
    }
}

fn not_acknowledged(object: &ObjectId, error: &ServiceError) {
    tracing::warn!(locator = %object.locator, %error, "what was read is not acknowledged");
}

/// Whether nothing more is to be said of an item.
fn is_settled(state: ItemState) -> bool {
    !state.leads_to(ItemState::Acknowledged)
}

impl Inner {
    /// Whether what was read is not what was read of this object before. The owner encrypts data
    /// anew when it withdraws somebody's access, and when it shares the data after an erasure:
    /// so this may be another share.
    async fn is_another_version(
        &self,
        envelope: &SignedEnvelope,
        data_hash: &DataHash,
    ) -> Result<bool, CatalogError> {
        let catalog = &self.ports.catalog;
        match catalog.readable(data_hash).await? {
            Some(read) if read.id == envelope.id => Ok(read.chunk_list != envelope.chunk_list),
            _ => {
                let item = catalog.inbox_item(&envelope.id).await?;
                Ok(item.is_some_and(|item| item.state != ItemState::Acknowledged))
            }
        }
    }

    /// Whether this node has read and checked the data of an item; `anew`: as it is encrypted now.
    async fn has_fetched(&self, item: &InboxItem, anew: bool) -> Result<bool, ServiceError> {
        let (ports, object) = (&self.ports, item.id());
        let read = ports.catalog.readable(&item.data_hash).await?;
        let Some(read) = read.filter(|read| read.id == object) else {
            return Ok(false);
        };
        let stored = ports.objects.envelope(&object).await?;
        Ok(!anew || stored.is_none_or(|stored| stored.chunk_list == read.chunk_list))
    }

    /// What this node says of data, which is what it has said before unless this is another
    /// version.
    async fn word_on(&self, fetched: &Fetched, is_another: bool) -> Result<Word, ServiceError> {
        let kept = match is_another {
            true => None,
            false => self.ports.catalog.delivery(&fetched.object, self.own).await?,
        };
        Ok(Word {
            is_kept: kept.is_some(),
            read_at: fetched.at,
            delivery: match kept {
                Some(kept) => kept,
                None => self.signed(fetched)?,
            },
        })
    }

    /// Keeps what this node says of data. What it has said of an earlier envelope makes way.
    async fn keep(&self, word: &Word) -> Result<Delivery, ServiceError> {
        let catalog = &self.ports.catalog;
        let kept = match word.is_kept {
            true => word.delivery.clone(),
            false => catalog.keep_delivery(&word.delivery).await?,
        };
        if kept.leaf_index.is_some() {
            let (object, next) = (&kept.statement.object, ItemState::Acknowledged);
            catalog.advance_item(object, next, word.read_at).await?;
        }
        Ok(kept)
    }

    fn signed(&self, fetched: &Fetched) -> Result<Delivery, ServiceError> {
        let own = self.own;
        let statement = Acknowledgement {
            recipient: own,
            object: fetched.object,
            commitment: Acknowledgement::commitment_to(&fetched.data_hash, own),
            sequence: fetched.sequence,
            fetched_at: fetched.at,
            // The clock may have gone back.
            made_at: now_ms().max(fetched.at),
        };
        Ok(Delivery {
            data_hash: fetched.data_hash,
            statement: Signed::sign(statement, self.ports.signer.as_ref())?,
            leaf_index: None,
        })
    }
}
