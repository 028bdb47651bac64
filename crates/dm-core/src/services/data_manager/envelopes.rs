//! Makes this node's envelopes and their successors.

use alloy_primitives::Address;

use super::DataManager;
use crate::{
    clock::now_ms,
    envelope::{Envelope, Grant, MAX_GRANTS, MAX_RECEIPTS, ObjectId, SignedEnvelope},
    secret::ContentKey,
    services::ServiceError,
    signed::Signed,
};

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
        record: &crate::address_record::AddressRecord,
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
        // Nobody else holds this envelope yet, whatever they hold of the object.
        self.inner
            .ports
            .shares
            .set_replicas(id, signed.sequence, 0)
            .await?;
        self.inner.owed.note_copies();
        Ok(Some(signed))
    }

    /// Adds a grant to the stored envelope, replacing one for the same address.
    pub(super) async fn add_grant(&self, id: &ObjectId, grant: Grant) -> Result<(), ServiceError> {
        let current = self.inner.ports.objects.envelope(id).await?;
        if current.is_some_and(|envelope| envelope.grants.len() >= MAX_GRANTS) {
            return Err(ServiceError::invalid(
                "recipient",
                "is one too many: an object has at most 1024 readers",
            ));
        }
        self.succeed_envelope(id, |envelope| {
            envelope
                .grants
                .retain(|present| present.recipient != grant.recipient);
            envelope.grants.push(grant);
        })
        .await?;
        Ok(())
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
