//! What an upload is to be shared for, sealed under a secret of the node account: a
//! description and a payer's consent are for nobody who reads the disk.

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use bytes::Bytes;
use dm_core::{
    descriptor::Description,
    idempotency::IdempotencyKey,
    mandate::{InvalidStatement, Mandate, ShareStatement, VerifiedMandate},
    operation::{Permit, TransferAuthorization},
    payment::{PaymentTerms, SignedConsent},
    ports::{Sealer, Signer},
    secret::ContentKey,
    share::ShareTerms,
};
use serde::{Deserialize, Serialize};

use crate::{ServiceError, own_secret::own_secret};

const PURPOSE: &str = "datamgmt/upload-terms/1";

/// Seals terms, and opens them.
pub(super) struct TermsSeal {
    key: ContentKey,
    sealer: Arc<dyn Sealer>,
}

/// Terms as they are kept: those of each share of one request, which differ in nothing but
/// the recipient.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptTerms {
    recipients: Vec<Address>,
    /// All recipients that the request names, where it names several.
    #[serde(skip_serializing_if = "Option::is_none")]
    among: Option<Arc<[Address]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<KeptPayment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mandate: Option<Mandate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Box<Description>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptPayment {
    token: Address,
    amount: U256,
    #[serde(skip_serializing_if = "Option::is_none")]
    permit: Option<Permit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization: Option<TransferAuthorization>,
}

impl TermsSeal {
    pub(super) fn new(signer: &dyn Signer, sealer: Arc<dyn Sealer>) -> Result<Self, ServiceError> {
        Ok(Self {
            key: own_secret(signer, PURPOSE)?,
            sealer,
        })
    }

    /// Seals the terms of the shares that one request asks for; `None` where it asks for none.
    pub(super) fn seal(&self, terms: &[ShareTerms]) -> Option<Bytes> {
        let kept = KeptTerms::of(terms)?;
        // Texts, numbers and addresses always have a JSON form.
        let json = serde_json::to_vec(&kept).unwrap_or_default();
        Some(self.sealer.seal(&self.key, &json).bytes().clone())
    }

    /// The terms of each share; at least one.
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where they were sealed by another node account, or are damaged.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Vec<ShareTerms>, ServiceError> {
        let json = self.sealer.open(&self.key, sealed).ok();
        let kept = json.and_then(|json| serde_json::from_slice::<KeptTerms>(&json).ok());
        kept.and_then(|kept| kept.terms().ok())
            .filter(|terms| !terms.is_empty())
            .ok_or_else(|| ServiceError::Fault("the terms of an upload cannot be read".into()))
    }
}

impl KeptTerms {
    fn of(terms: &[ShareTerms]) -> Option<Self> {
        let first = terms.first()?;
        let key = first.idempotency_key.as_ref();
        Some(Self {
            recipients: terms.iter().map(|terms| terms.recipient).collect(),
            among: first.among.clone(),
            idempotency_key: key.map(|key| (key.client.clone(), key.key.clone())),
            payment: first.payment.as_ref().map(KeptPayment::from),
            mandate: first.mandate.as_ref().map(|mandate| mandate.mandate().clone()),
            expires_at: first.expires_at,
            description: first.description.clone(),
        })
    }

    fn terms(self) -> Result<Vec<ShareTerms>, InvalidStatement> {
        // Checked when the upload began; the seal shows that it is still the same.
        let mandate = self.mandate.map(|mandate| {
            let statement = ShareStatement::parse(&mandate.statement)?;
            Ok(Box::new(VerifiedMandate::new(mandate, statement)))
        });
        let common = ShareTerms {
            among: self.among,
            idempotency_key: self
                .idempotency_key
                .map(|(client, key)| IdempotencyKey { client, key }),
            payment: self.payment.map(PaymentTerms::from),
            mandate: mandate.transpose()?,
            expires_at: self.expires_at,
            description: self.description,
            ..ShareTerms::with(Address::ZERO)
        };
        let with = |recipient| ShareTerms {
            recipient,
            ..common.clone()
        };
        Ok(self.recipients.into_iter().map(with).collect())
    }
}

impl From<&PaymentTerms> for KeptPayment {
    fn from(terms: &PaymentTerms) -> Self {
        let (permit, authorization) = match &terms.consent {
            None => (None, None),
            Some(SignedConsent::Permit(permit)) => (Some(permit.clone()), None),
            Some(SignedConsent::Authorization(transfer)) => (None, Some(transfer.clone())),
        };
        Self {
            token: terms.token,
            amount: terms.amount,
            permit,
            authorization,
        }
    }
}

impl From<KeptPayment> for PaymentTerms {
    fn from(kept: KeptPayment) -> Self {
        let permit = kept.permit.map(SignedConsent::Permit);
        Self {
            token: kept.token,
            amount: kept.amount,
            consent: permit.or(kept.authorization.map(SignedConsent::Authorization)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_testing::{crypto::MemorySealer, signer::TestSigner};

    use super::*;

    fn seal(account: u8) -> TermsSeal {
        TermsSeal::new(&TestSigner::new(account), Arc::new(MemorySealer)).unwrap()
    }

    #[test]
    fn terms_are_opened_by_the_account_that_sealed_them_and_by_no_other() {
        let terms = ShareTerms {
            idempotency_key: Some(IdempotencyKey {
                client: "client".to_owned(),
                key: "key".to_owned(),
            }),
            payment: Some(PaymentTerms {
                token: Address::repeat_byte(2),
                amount: U256::MAX,
                consent: None,
            }),
            expires_at: Some(7),
            description: Some(Box::new(Description {
                name: Some("report.pdf".parse().unwrap()),
                ..Description::default()
            })),
            ..ShareTerms::with(Address::repeat_byte(1))
        };
        let recipients = [1, 2, 3].map(Address::repeat_byte);
        let mut several = terms.clone().for_each(&recipients);
        // One of them with whom the API key may not share.
        several.remove(1);
        for terms in [&[terms][..], &several] {
            let sealed = seal(1).seal(terms).unwrap();
            assert_eq!(seal(1).open(&sealed).unwrap(), terms);
        }
        assert_eq!(seal(1).seal(&[]), None);
        let sealed = seal(1).seal(&several).unwrap();
        assert!(seal(2).open(&sealed).is_err());
        let mut damaged = sealed.to_vec();
        damaged[20] ^= 1;
        assert!(seal(1).open(&damaged).is_err());
    }
}
