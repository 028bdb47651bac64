//! Makes this node's envelopes and their successors.

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    envelope::{Envelope, Grant, MAX_GRANTS, MAX_RECEIPTS, ObjectId, SignedEnvelope},
    secret::ContentKey,
    share::ShareRecord,
    signed::Signed,
};

use super::DataManager;
use crate::ServiceError;

impl DataManager {
    /// The grant of `key` to `recipient`; `None` where its public key is unknown.
    pub(super) async fn make_grant(
        &self,
        key: &ContentKey,
        id: ObjectId,
        recipient: Address,
    ) -> Result<Option<Grant>, ServiceError> {
        let inner = &self.inner;
        if recipient == self.address() {
            return self.grant_to(key, id, &self.own_record()).map(Some);
        }
        match inner
            .recipients
            .record(recipient, inner.ports.network.as_ref())
            .await?
        {
            None => Ok(None),
            Some(record) => self.grant_to(key, id, &record).map(Some),
        }
    }

    fn grant_to(
        &self,
        key: &ContentKey,
        id: ObjectId,
        record: &dm_core::address_record::AddressRecord,
    ) -> Result<Grant, ServiceError> {
        self.inner
            .ports
            .grants
            .grant(key, &id, record)
            .map_err(|error| ServiceError::invalid("recipient", format!("cannot be granted access: {error}")))
    }

    /// Signs an envelope as this node's account.
    pub(super) fn sign_envelope(&self, envelope: Envelope) -> Result<SignedEnvelope, ServiceError> {
        Ok(Signed::sign(envelope, self.inner.ports.signer.as_ref())?)
    }

    /// Replaces the stored envelope by a successor that `change` makes of it;
    /// `None` where the change leaves it as it is.
    pub(super) async fn succeed_envelope(
        &self,
        id: &ObjectId,
        change: impl FnOnce(&mut Envelope),
    ) -> Result<Option<SignedEnvelope>, ServiceError> {
        let objects = &self.inner.ports.objects;
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
    pub(super) async fn put_into_envelope(
        &self,
        id: &ObjectId,
        share: &ShareRecord,
        grant: Option<Grant>,
    ) -> Result<(), ServiceError> {
        let ports = &self.inner.ports;
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
            let made = ports
                .shares
                .set_grant_owed(&share.data_hash, share.recipient, false);
            made.await?;
        }
        Ok(())
    }

    /// An envelope has room for so many readers.
    pub(super) async fn ensure_room_for_reader(
        &self,
        id: &ObjectId,
        recipient: Address,
    ) -> Result<(), ServiceError> {
        match self.inner.ports.objects.envelope(id).await? {
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
    pub(super) async fn note_nobody_holds(&self, envelope: &SignedEnvelope) {
        let shares = &self.inner.ports.shares;
        if let Err(error) = shares.set_replicas(&envelope.id, envelope.sequence, 0).await {
            tracing::warn!(locator = %envelope.id.locator, %error, "the number of copies was not written down");
        }
        self.inner.owed.note_copies();
    }

    /// Adds a sealed receipt to the stored envelope; the oldest make room.
    pub(super) async fn add_receipt(&self, id: &ObjectId, receipt: bytes::Bytes) -> Result<(), ServiceError> {
        self.succeed_envelope(id, |envelope| {
            if envelope.receipts.len() >= MAX_RECEIPTS {
                envelope.receipts.remove(0);
            }
            envelope.receipts.push(receipt);
        })
        .await?;
        Ok(())
    }
}
