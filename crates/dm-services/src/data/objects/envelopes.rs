//! Makes this node's envelopes and their successors.

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    envelope::{Envelope, Grant, MAX_ATTACHMENTS, MAX_GRANTS, ObjectId, SignedEnvelope},
    hash::DataHash,
    share::ShareRecord,
    signed::Signed,
};

use super::OwnObjects;
use crate::ServiceError;

impl OwnObjects {
    /// Signs an envelope as the node account.
    pub(in crate::data) fn sign_envelope(&self, envelope: Envelope) -> Result<SignedEnvelope, ServiceError> {
        Ok(Signed::sign(envelope, self.signer.as_ref())?)
    }

    /// Replaces the stored envelope by a successor that `change` makes of it;
    /// `None` where the change leaves it as it is.
    pub(in crate::data) async fn succeed_envelope(
        &self,
        id: &ObjectId,
        change: impl FnOnce(&mut Envelope),
    ) -> Result<Option<SignedEnvelope>, ServiceError> {
        let objects = &self.objects;
        let Some(current) = objects.envelope(id).await? else {
            return Err(ServiceError::NotFound);
        };
        let mut next = current.statement().clone();
        change(&mut next);
        if next == *current.statement() {
            return Ok(None);
        }
        let now = now_ms();
        next.sequence = current.next_sequence(now);
        next.created_at = now;
        let signed = self.sign_envelope(next)?;
        objects.replace_envelope(&signed).await?;
        self.note_nobody_holds(&signed).await;
        Ok(Some(signed))
    }

    /// Puts what a share asks for into the stored envelope: the grant, in the place of
    /// one for the same address, and a later end of the data. A grant that is there is
    /// owed no more.
    pub(in crate::data) async fn put_into_envelope(
        &self,
        id: &ObjectId,
        share: &ShareRecord,
        grant: Option<Grant>,
    ) -> Result<(), ServiceError> {
        let has_grant = grant.is_some();
        if has_grant {
            self.ensure_room_for_reader(id, share.recipient).await?;
        }
        let next = self
            .succeed_envelope(id, |envelope| {
                envelope.expires_at = envelope.later_end(share.expires_at);
                if let Some(grant) = grant {
                    envelope
                        .grants
                        .retain(|present| present.recipient != grant.recipient);
                    envelope.grants.push(grant);
                }
            })
            .await?;
        if let Some(envelope) = next {
            self.remember_end(&share.data_hash, envelope.expires_at).await;
        }
        if has_grant {
            let made = self
                .shares
                .set_grant_owed(&share.data_hash, share.recipient, false);
            made.await?;
        }
        Ok(())
    }

    /// An envelope has room for so many readers.
    pub(in crate::data) async fn ensure_room_for_reader(
        &self,
        id: &ObjectId,
        recipient: Address,
    ) -> Result<(), ServiceError> {
        match self.objects.envelope(id).await? {
            Some(envelope) if envelope.grants.len() >= MAX_GRANTS && !envelope.grants_to(recipient) => Err(
                ServiceError::invalid("recipient", "is one too many: an object has at most 1024 readers"),
            ),
            Some(_) => Ok(()),
            None => Err(ServiceError::NotFound),
        }
    }

    /// Nobody else holds this envelope yet, whatever they hold of the object. The count
    /// is for the upkeep, which compares sequence numbers as well: that it cannot be
    /// written down does not undo what is stored.
    pub(in crate::data) async fn note_nobody_holds(&self, envelope: &SignedEnvelope) {
        let shares = &self.shares;
        if let Err(error) = shares.set_replicas(&envelope.id, envelope.sequence, 0).await {
            tracing::warn!(locator = %envelope.id.locator, %error, "the number of copies was not written down");
        }
        self.owed.note_copies();
    }

    /// Adds a sealed receipt to the stored envelope; the oldest receipt makes room, and
    /// nothing else does.
    pub(in crate::data) async fn add_receipt(
        &self,
        id: &ObjectId,
        receipt: Bytes,
        is_receipt: impl Fn(&Bytes) -> bool,
    ) -> Result<(), ServiceError> {
        self.succeed_envelope(id, |envelope| {
            let attachments = &mut envelope.attachments;
            if attachments.len() >= MAX_ATTACHMENTS {
                let Some(oldest) = attachments.iter().position(is_receipt) else {
                    return;
                };
                attachments.remove(oldest);
            }
            attachments.push(receipt);
        })
        .await?;
        Ok(())
    }

    /// Lets these be what travels with the object. Peers are told soon.
    pub(in crate::data) async fn set_attachments(
        &self,
        id: &ObjectId,
        attachments: Vec<Bytes>,
    ) -> Result<(), ServiceError> {
        self.succeed_envelope(id, |envelope| envelope.attachments = attachments)
            .await?;
        Ok(())
    }

    /// When an object ends, by the envelope that is stored here.
    pub(in crate::data) async fn expiry_of(&self, id: &ObjectId) -> Result<Option<u64>, ServiceError> {
        let envelope = self.objects.envelope(id).await?;
        Ok(envelope.and_then(|envelope| envelope.expires_at))
    }

    /// Puts the end of stored data off to a later time; none is the latest. An
    /// earlier one changes nothing.
    pub(in crate::data) async fn prolong(
        &self,
        id: &ObjectId,
        data_hash: &DataHash,
        expires_at: Option<u64>,
    ) -> Result<(), ServiceError> {
        let prolonged = self
            .succeed_envelope(id, |envelope| {
                envelope.expires_at = envelope.later_end(expires_at);
            })
            .await?;
        if let Some(envelope) = prolonged {
            self.remember_end(data_hash, envelope.expires_at).await;
        }
        Ok(())
    }

    /// Notes when to look whether the data has ended. What counts is its envelope: an
    /// earlier note is put right when it is due.
    pub(in crate::data) async fn remember_end(&self, data_hash: &DataHash, expires_at: Option<u64>) {
        let erasures = &self.erasures;
        if let Err(error) = erasures.schedule_erasure(data_hash, expires_at).await {
            tracing::warn!(locator = %data_hash.locator(), %error, "the end of data was not noted");
        }
    }

    /// Puts a tombstone in the place of an own object.
    pub(in crate::data) async fn bury(&self, envelope: &SignedEnvelope) -> Result<(), ServiceError> {
        let now = now_ms();
        let tombstone =
            self.sign_envelope(Envelope::tombstone(envelope.id, envelope.next_sequence(now), now))?;
        let writer = self.objects.create().await?;
        Ok(writer.finish(&tombstone).await?)
    }
}
