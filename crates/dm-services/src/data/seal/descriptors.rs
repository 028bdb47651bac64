//! Descriptors among the attachments of an envelope.

use bytes::Bytes;
use dm_core::{
    descriptor::Descriptor,
    envelope::{Envelope, MAX_ATTACHMENTS},
    secret::ContentKey,
};

use super::Sealing;
use crate::attachments;

impl Sealing {
    /// Seals a descriptor for the readers of the object that this key encrypts.
    pub(in crate::data) fn seal_descriptor(&self, key: &ContentKey, descriptor: &Descriptor) -> Bytes {
        let sealed = self.sealer.seal(&key.for_descriptor(), &descriptor.encode());
        sealed.bytes().clone()
    }

    /// The descriptor in an envelope, with the content key of its object; `None` where there
    /// is none, or where it speaks of other data than the object has.
    pub(in crate::data) fn open_descriptor(
        &self,
        envelope: &Envelope,
        key: &ContentKey,
    ) -> Option<Descriptor> {
        attachments::open_descriptor(self.sealer.as_ref(), envelope, key)
    }

    /// The attachments of an envelope in which this descriptor takes the place of the one
    /// before.
    pub(in crate::data) fn attachments_with(
        &self,
        envelope: &Envelope,
        key: &ContentKey,
        descriptor: &Descriptor,
    ) -> Vec<Bytes> {
        let descriptor_key = key.for_descriptor();
        let mut attachments = envelope.attachments.clone();
        attachments.retain(|attachment| self.sealer.open(&descriptor_key, attachment).is_err());
        // It has a place of its own, for which the oldest receipt makes room.
        if attachments.len() >= MAX_ATTACHMENTS {
            attachments.remove(0);
        }
        attachments.insert(0, self.seal_descriptor(key, descriptor));
        attachments
    }

    /// The attachments of an envelope for an object that another content key encrypts now:
    /// what the old one sealed is sealed under the new one, whatever it says.
    pub(in crate::data) fn attachments_under(
        &self,
        envelope: &Envelope,
        old: &ContentKey,
        new: &ContentKey,
    ) -> Vec<Bytes> {
        let (old, new) = (old.for_descriptor(), new.for_descriptor());
        let attachments = envelope.attachments.iter();
        attachments
            .map(|attachment| match self.sealer.open(&old, attachment) {
                Ok(descriptor) => self.sealer.seal(&new, &descriptor).bytes().clone(),
                Err(_) => attachment.clone(),
            })
            .collect()
    }
}
