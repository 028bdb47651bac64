//! Makes a share: of new data, or with a further recipient of stored data.

use dm_core::{
    clock::now_ms,
    envelope::{Envelope, SignedEnvelope},
    event::EventKind,
    share::{NewShare, ReadableObject},
};

use super::{Existing, Request, complete::GrantStep};
use crate::{
    ServiceError,
    data_manager::{DataManager, seal::Sealed},
};

impl DataManager {
    /// Stores new data and commits the share with it; where that fails, the data is
    /// taken away again. The object comes first: it needs the room. Nobody sees it
    /// before the catalog has its key.
    pub(super) async fn store_and_share(
        &self,
        request: &Request,
        sealed: Sealed,
    ) -> Result<Existing, ServiceError> {
        let inner = &self.inner;
        let (id, terms) = (self.own_id(&sealed.data_hash), &request.terms);
        let grant = self.make_grant(&sealed.key, id, terms.recipient).await?;
        let grant_owed = grant.is_none();
        let now = now_ms();
        // A tombstone or an object without a key may be in its place.
        let replaced = inner.ports.objects.envelope(&id).await?;
        let envelope = self.sign_envelope(Envelope {
            id,
            size: sealed.size,
            chunk_list: sealed.chunk_list,
            sequence: replaced
                .as_ref()
                .map_or(now, |replaced| replaced.next_sequence(now)),
            created_at: now,
            grants: grant.into_iter().collect(),
            receipts: Vec::new(),
            expires_at: terms.expires_at,
        })?;
        let share = NewShare {
            record: request.record(terms.expires_at),
            object: Some(ReadableObject {
                data_hash: sealed.data_hash,
                id,
                size: sealed.size,
                chunk_list: sealed.chunk_list,
                key: inner.ports.key_ring.wrap(&sealed.key),
            }),
            grant_owed,
        };
        let stored = sealed.writer.finish(&envelope).await;
        let committed = match stored {
            Ok(()) => self.commit(share).await,
            Err(error) => Err(error.into()),
        };
        match committed {
            Ok(committed) => Ok(Existing {
                id,
                grant: if grant_owed {
                    GrantStep::Owed(None)
                } else {
                    GrantStep::InPlace
                },
                repeated: committed.existed,
                payment: None,
                expires_at: terms.expires_at,
                record: committed.record,
            }),
            Err(error) => {
                self.take_away(&envelope, replaced.as_ref()).await;
                Err(error)
            }
        }
    }

    /// Removes an object that belongs to no share. What was erased before stays
    /// erased: a newer tombstone takes the place of the object that has replaced one.
    /// What cannot be removed is seen by nobody, and collected later.
    async fn take_away(&self, envelope: &SignedEnvelope, replaced: Option<&SignedEnvelope>) {
        let objects = &self.inner.ports.objects;
        let taken = async {
            let stored = objects.envelope(&envelope.id).await?;
            if stored.is_none_or(|stored| stored.sequence != envelope.sequence) {
                return Ok(());
            }
            match replaced {
                Some(replaced) if replaced.is_tombstone() => self.bury(envelope).await,
                _ => Ok(objects.remove(&envelope.id).await.map(drop)?),
            }
        };
        if let Err(error) = taken.await {
            tracing::warn!(locator = %envelope.id.locator, %error, "the object of a share that failed is collected later");
        }
    }

    /// Commits a share of stored data with a further recipient: no new ciphertext is
    /// needed. The grant goes into the envelope after the commit, so that none is left
    /// of a share that failed.
    pub(super) async fn share_stored(
        &self,
        request: &Request,
        object: &ReadableObject,
    ) -> Result<Existing, ServiceError> {
        let inner = &self.inner;
        let (id, terms) = (object.id, &request.terms);
        let Some(envelope) = inner.ports.objects.envelope(&id).await? else {
            return Err(ServiceError::NotFound);
        };
        self.ensure_room_for_reader(&id, terms.recipient).await?;
        let key = inner.ports.key_ring.unwrap(&object.key)?;
        let grant = self.make_grant(&key, id, terms.recipient).await?;
        let expires_at = match request.kind {
            EventKind::Grant => envelope.expires_at,
            _ => terms.expires_at,
        };
        let committed = self
            .commit(NewShare {
                record: request.record(expires_at),
                object: None,
                grant_owed: true,
            })
            .await?;
        Ok(Existing {
            id,
            grant: GrantStep::Owed(grant),
            repeated: committed.existed,
            payment: None,
            expires_at: envelope.later_end(expires_at),
            record: committed.record,
        })
    }
}
