//! What is asked for.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256};
use serde::Serialize;
use sha2::{Digest, Sha256};

use dm_core::{
    clock::now_ms,
    descriptor::{Description, Descriptor},
    event::EventKind,
    hash::DataHash,
    share::{ShareRecord, ShareTerms},
    upload::UploadId,
};

/// Domain prefix of the digest of a request.
const DOMAIN: &[u8] = b"datamgmt/share-request/1";

/// A share, or a grant, that is asked for.
pub(in crate::data) struct Request {
    pub(in crate::data) data_hash: DataHash,
    /// [`EventKind::DataShare`], or [`EventKind::Grant`], which says nothing about the
    /// end of the data.
    pub(in crate::data) kind: EventKind,
    pub(in crate::data) terms: ShareTerms,
    /// The upload in which the data came, if it came in one.
    pub(in crate::data) upload: Option<UploadId>,
}

/// What makes two requests the same, besides who sends them. A payer's consent is
/// none of it: it may be signed anew.
#[derive(Serialize)]
struct Digested<'a> {
    kind: EventKind,
    data_hash: DataHash,
    /// Left out where the request names several.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<Address>,
    price: Option<(Address, U256)>,
    expires_at: Option<u64>,
    mandate: Option<B256>,
    /// Left out where nothing is said, as requests of earlier versions say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a Description>,
    /// In whatever order they were named.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<BTreeSet<Address>>,
}

impl Request {
    /// To share this data.
    pub(in crate::data) fn of_data(data_hash: DataHash, terms: ShareTerms) -> Self {
        Self {
            data_hash,
            kind: EventKind::DataShare,
            terms,
            upload: None,
        }
    }

    /// Digest of everything that makes the request what it is.
    pub(super) fn digest(&self) -> B256 {
        let terms = &self.terms;
        let digested = Digested {
            kind: self.kind,
            data_hash: self.data_hash,
            recipient: terms.among.is_none().then_some(terms.recipient),
            price: terms.payment.as_ref().map(|price| (price.token, price.amount)),
            expires_at: terms.expires_at,
            mandate: terms.mandate.as_ref().map(|mandate| mandate.mandate().digest()),
            description: terms.description.as_deref(),
            recipients: terms.among.as_ref().map(|all| all.iter().copied().collect()),
        };
        // Names, numbers and hashes always have a JSON form.
        let json = serde_json::to_vec(&digested).unwrap_or_default();
        let digest = Sha256::new().chain_update(DOMAIN).chain_update(json).finalize();
        <[u8; 32]>::from(digest).into()
    }

    /// What the object says where nothing else was said of the data.
    pub(super) fn descriptor(&self, data_hash: DataHash) -> Descriptor {
        let description = self.terms.description.as_deref();
        Descriptor::new(data_hash, description.cloned().unwrap_or_default())
    }

    /// Whether the share was asked for by this request. Of a share of an earlier
    /// version only data and recipient are known.
    pub(super) fn is_that_of(&self, share: &ShareRecord) -> bool {
        match share.request {
            Some(request) => request == self.digest(),
            None => (share.data_hash, share.recipient) == (self.data_hash, self.terms.recipient),
        }
    }

    /// The share as the catalog is to keep it, whose data shall end at `expires_at`.
    pub(super) fn record(&self, expires_at: Option<u64>) -> ShareRecord {
        let terms = &self.terms;
        ShareRecord {
            idempotency_key: terms.idempotency_key.clone(),
            mandate: terms.mandate.as_deref().map(|mandate| Box::new(mandate.into())),
            kind: self.kind,
            request: Some(self.digest()),
            expires_at,
            ..ShareRecord::new(self.data_hash, terms.recipient, now_ms())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_core::payment::PaymentTerms;

    use super::*;

    /// The request for the first of several recipients.
    fn asked_of(recipients: &[u8]) -> Request {
        let recipients: Vec<Address> = recipients.iter().map(|n| Address::repeat_byte(*n)).collect();
        let terms = ShareTerms::with(Address::ZERO).for_each(&recipients);
        Request {
            data_hash: DataHash::of(b"data"),
            kind: EventKind::DataShare,
            terms: terms.into_iter().next().unwrap(),
            upload: None,
        }
    }

    #[test]
    fn the_shares_of_one_request_have_one_digest() {
        let digest = asked_of(&[1, 2, 3]).digest();
        assert_eq!(asked_of(&[3, 1, 2]).digest(), digest);
        assert!(asked_of(&[2, 1, 3]).is_that_of(&asked_of(&[1, 2, 3]).record(None)));
        assert!(!asked_of(&[2, 1]).is_that_of(&asked_of(&[1, 2, 3]).record(None)));
    }

    #[test]
    fn requests_that_differ_in_anything_have_other_digests() {
        let request = |change: fn(&mut Request)| {
            let mut request = Request {
                data_hash: DataHash::of(b"data"),
                kind: EventKind::DataShare,
                terms: ShareTerms::with(Address::repeat_byte(1)),
                upload: None,
            };
            change(&mut request);
            request.digest()
        };
        let price = |request: &mut Request, amount| {
            request.terms.payment = Some(PaymentTerms {
                token: Address::ZERO,
                amount: U256::from(amount),
                consent: None,
            });
        };
        let named = |name: &str| {
            Some(Box::new(Description {
                name: Some(name.parse().unwrap()),
                ..Description::default()
            }))
        };
        let changes: [fn(&mut Request); 5] = [
            |_| {},
            |request| request.kind = EventKind::Grant,
            |request| request.data_hash = DataHash::of(b"other"),
            |request| request.terms.recipient = Address::repeat_byte(2),
            |request| request.terms.expires_at = Some(5),
        ];
        let mut digests: Vec<B256> = changes.into_iter().map(request).collect();
        for name in ["one.txt", "other.txt"] {
            let mut described = Request {
                data_hash: DataHash::of(b"data"),
                kind: EventKind::DataShare,
                terms: ShareTerms::with(Address::repeat_byte(1)),
                upload: None,
            };
            described.terms.description = named(name);
            digests.push(described.digest());
        }
        for amount in 1..3 {
            let mut paid = Request {
                data_hash: DataHash::of(b"data"),
                kind: EventKind::DataShare,
                terms: ShareTerms::with(Address::repeat_byte(1)),
                upload: None,
            };
            price(&mut paid, amount);
            digests.push(paid.digest());
        }
        for recipients in [&[1][..], &[1, 2], &[1, 3]] {
            let several = asked_of(recipients);
            digests.push(several.digest());
        }
        assert_eq!(digests.first(), Some(&request(|_| {})));
        let count = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), count);
    }
}
