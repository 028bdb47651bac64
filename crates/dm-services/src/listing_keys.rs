//! What the catalog keeps of a list without being able to read it: descriptors are sealed,
//! and what entries are found by is a keyed hash. Both keys come from the node account, so
//! that nothing more has to be kept, and a copy of the catalog alone tells no name.

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    descriptor::Descriptor,
    inbox::Term,
    ports::{Sealer, Signer, SignerError},
    secret::ContentKey,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::own_secret::own_secret;

/// The keys of one list of one node.
pub(crate) struct ListingKeys {
    sealing: ContentKey,
    terms: ContentKey,
}

impl ListingKeys {
    /// Those of what others have shared with the node.
    pub(crate) fn of_inbox(signer: &dyn Signer) -> Result<Self, SignerError> {
        Self::of(signer, "datamgmt/inbox-sealing/1", "datamgmt/inbox-terms/1")
    }

    /// Those of what the node has shared.
    pub(crate) fn of_shares(signer: &dyn Signer) -> Result<Self, SignerError> {
        Self::of(signer, "datamgmt/shares-sealing/1", "datamgmt/shares-terms/1")
    }

    fn of(signer: &dyn Signer, sealing: &str, terms: &str) -> Result<Self, SignerError> {
        Ok(Self {
            sealing: own_secret(signer, sealing)?,
            terms: own_secret(signer, terms)?,
        })
    }

    pub(crate) fn seal(&self, sealer: &dyn Sealer, descriptor: &Descriptor) -> Bytes {
        sealer.seal(&self.sealing, &descriptor.encode()).bytes().clone()
    }

    pub(crate) fn open(&self, sealer: &dyn Sealer, sealed: &[u8]) -> Option<Descriptor> {
        Descriptor::decode(&sealer.open(&self.sealing, sealed).ok()?)
    }

    /// By whom an entry is.
    pub(crate) fn from(&self, owner: Address) -> Term {
        self.term(b"from", &[], owner.as_slice())
    }

    /// The name of an entry.
    pub(crate) fn name(&self, name: &str) -> Term {
        self.term(b"name", &[], name.as_bytes())
    }

    /// A label of an entry.
    pub(crate) fn label(&self, key: &str, value: &str) -> Term {
        self.term(b"label", key.as_bytes(), value.as_bytes())
    }

    /// What an entry with this descriptor is found by.
    pub(crate) fn terms_of(&self, descriptor: &Descriptor) -> Vec<Term> {
        let said = &descriptor.description;
        let name = said.name.iter().map(|name| self.name(name.as_str()));
        let labels = said.labels.iter().map(|(key, value)| self.label(key, value));
        name.chain(labels).collect()
    }

    /// The first bytes of HMAC-SHA256; a zero byte, which is in none of the parts, ends
    /// each but the last.
    fn term(&self, kind: &[u8], key: &[u8], value: &[u8]) -> Term {
        // HMAC takes keys of any length.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(self.terms.as_bytes()) else {
            return Term([0; 16]);
        };
        let mac = [kind, &[0], key, &[0], value]
            .iter()
            .fold(mac, |mac, part| mac.chain_update(part));
        let mut term = [0; 16];
        term.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        Term(term)
    }
}
