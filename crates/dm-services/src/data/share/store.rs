//! Stores the data of a share under a key of its own, or finds it stored.

use dm_core::{
    clock::now_ms,
    descriptor::Descriptor,
    envelope::{Envelope, Grant, ObjectId, SignedEnvelope},
    event::EventKind,
    share::{NewShare, ReadableObject},
};

use super::{Request, Sharing, Source, complete::GrantStep, describe::Described};
use crate::{ServiceError, data::seal::Sealed};

/// What became of data that arrived once, for several recipients.
const LOST: &str = "the data is gone with the share that failed before this one; send it again";

/// A share that is ready to be committed.
pub(super) struct Draft {
    pub(super) share: NewShare,
    pub(super) id: ObjectId,
    pub(super) grant: GrantStep,
    pub(super) expires_at: Option<u64>,
    /// What was changed in the store for it.
    pub(super) prepared: Prepared,
}

/// What the store has for a share that is not there yet.
pub(super) enum Prepared {
    /// Its object.
    Placed(Box<Placed>),
    /// Another descriptor in the envelope of an object that was there before.
    Described(Box<Described>),
    /// Nothing new.
    Nothing,
}

/// An object that belongs to no share yet.
pub(super) struct Placed {
    envelope: SignedEnvelope,
    /// What was in its place before.
    replaced: Option<SignedEnvelope>,
}

impl Sharing {
    /// Makes what is to be committed. New data is durable then: it needs the room, so
    /// that it fails first. Nobody sees it before the catalog has its key.
    pub(super) async fn store(
        &self,
        request: &Request,
        source: &mut Source,
        stored: Option<ReadableObject>,
    ) -> Result<Draft, ServiceError> {
        match (stored, source) {
            (Some(object), _) => self.grant_stored(request, &object).await,
            (None, Source::Whole(data)) => {
                let sealed = self.sealing.seal_bytes(request.data_hash, data.clone());
                self.store_new(request, sealed.await?).await
            }
            (None, Source::Sealed(sealed, _)) => match sealed.take() {
                Some(sealed) => self.store_new(request, *sealed).await,
                None => Err(ServiceError::Unavailable(LOST.into())),
            },
            (None, Source::Stored(_)) => Err(ServiceError::NotFound),
        }
    }

    async fn store_new(&self, request: &Request, sealed: Sealed) -> Result<Draft, ServiceError> {
        let (id, terms) = (self.own.own_id(&sealed.data_hash), &request.terms);
        let grant = self
            .addresses
            .make_grant(&sealed.key, id, terms.recipient)
            .await?;
        let grant_owed = grant.is_none();
        // A tombstone or an object without a key may be in its place.
        let replaced = self.objects.envelope(&id).await?;
        let descriptor = request.descriptor(sealed.data_hash);
        let envelope =
            self.first_envelope(terms.expires_at, &descriptor, &sealed, grant, replaced.as_ref())?;
        let share = NewShare {
            record: request.record(terms.expires_at),
            object: Some(ReadableObject {
                data_hash: sealed.data_hash,
                id,
                size: sealed.size,
                chunk_list: sealed.chunk_list,
                key: self.key_ring.wrap(&sealed.key),
            }),
            grant_owed,
            listing: Some(self.list.listing(&descriptor)),
            upload: request.upload,
            trace: None,
        };
        let placed = Placed { envelope, replaced };
        if let Err(error) = sealed.writer.finish(&placed.envelope).await {
            self.take_away(&placed).await;
            return Err(error.into());
        }
        Ok(Draft {
            share,
            id,
            grant: match grant_owed {
                true => GrantStep::Owed(None),
                false => GrantStep::InPlace,
            },
            expires_at: terms.expires_at,
            prepared: Prepared::Placed(Box::new(placed)),
        })
    }

    fn first_envelope(
        &self,
        expires_at: Option<u64>,
        descriptor: &Descriptor,
        sealed: &Sealed,
        grant: Option<Grant>,
        replaced: Option<&SignedEnvelope>,
    ) -> Result<SignedEnvelope, ServiceError> {
        let now = now_ms();
        self.own.sign_envelope(Envelope {
            id: self.own.own_id(&sealed.data_hash),
            size: sealed.size,
            chunk_list: sealed.chunk_list,
            sequence: replaced.map_or(now, |replaced| replaced.next_sequence(now)),
            created_at: now,
            grants: grant.into_iter().collect(),
            attachments: vec![self.sealing.seal_descriptor(&sealed.key, descriptor)],
            expires_at,
        })
    }

    /// A further recipient needs no new ciphertext. A descriptor speaks to all readers and
    /// is none of the share, so it is replaced before the commit. The grant goes into the envelope
    /// after the commit, so that none is left of a share that failed.
    async fn grant_stored(&self, request: &Request, object: &ReadableObject) -> Result<Draft, ServiceError> {
        let (id, terms) = (object.id, &request.terms);
        let Some(envelope) = self.objects.envelope(&id).await? else {
            return Err(ServiceError::NotFound);
        };
        self.own.ensure_room_for_reader(&id, terms.recipient).await?;
        let key = self.key_ring.unwrap(&object.key)?;
        let grant = self.addresses.make_grant(&key, id, terms.recipient).await?;
        let (descriptor, described) = self
            .descriptions
            .for_further_share(request, &envelope, &key)
            .await?;
        let expires_at = match request.kind {
            EventKind::Grant => envelope.expires_at,
            _ => terms.expires_at,
        };
        Ok(Draft {
            share: NewShare {
                record: request.record(expires_at),
                object: None,
                grant_owed: true,
                listing: Some(self.list.listing(&descriptor)),
                upload: request.upload,
                trace: None,
            },
            id,
            grant: GrantStep::Owed(grant),
            expires_at: envelope.later_end(expires_at),
            prepared: described.map_or(Prepared::Nothing, |described| {
                Prepared::Described(Box::new(described))
            }),
        })
    }

    /// Puts the store back to how it was before a share that failed.
    pub(super) async fn undo(&self, prepared: &Prepared) {
        match prepared {
            Prepared::Placed(placed) => self.take_away(placed).await,
            Prepared::Described(described) => self.descriptions.take_back(described).await,
            Prepared::Nothing => {}
        }
    }

    /// Removes an object that belongs to no share. What was erased before stays
    /// erased: a newer tombstone takes the place of the object that has replaced one.
    /// What cannot be removed is seen by nobody, and collected later.
    async fn take_away(&self, placed: &Placed) {
        let Placed { envelope, replaced } = placed;
        let taken = async {
            let stored = self.objects.envelope(&envelope.id).await?;
            if stored.is_none_or(|stored| stored.sequence != envelope.sequence) {
                return Ok(());
            }
            match replaced {
                Some(replaced) if replaced.is_tombstone() => self.own.bury(envelope).await,
                _ => Ok(self.objects.remove(&envelope.id).await.map(drop)?),
            }
        };
        if let Err(error) = taken.await {
            tracing::warn!(locator = %envelope.id.locator, %error, "the object of a share that failed is collected later");
        }
    }
}
