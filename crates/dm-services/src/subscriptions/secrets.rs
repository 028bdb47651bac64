//! The keys of the calls, as [Standard Webhooks](https://www.standardwebhooks.com/) has
//! them. They are kept sealed under a secret of the node account.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use dm_core::{ports::Sealer, secret::ContentKey};
use zeroize::Zeroizing;

use super::SubscriptionPorts;
use crate::{ServiceError, own_secret::own_secret};

const PURPOSE: &str = "datamgmt/webhook-secrets/1";
const PREFIX: &str = "whsec_";
/// Bytes of a key that is made here, and of those that are taken.
const LENGTH: usize = 32;
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

pub(super) type Secret = Zeroizing<Vec<u8>>;

#[derive(Clone)]
pub(super) struct Secrets {
    key: ContentKey,
    sealer: Arc<dyn Sealer>,
}

/// A key as receivers know it.
pub(super) fn text(secret: &Secret) -> String {
    format!("{PREFIX}{}", STANDARD.encode(secret.as_slice()))
}

impl Secrets {
    pub(super) fn of(ports: &SubscriptionPorts) -> Result<Self, ServiceError> {
        Ok(Self {
            key: own_secret(ports.signer.as_ref(), PURPOSE)?,
            sealer: ports.sealer.clone(),
        })
    }

    /// The key in this text, or a new one.
    pub(super) fn read_or_make(&self, text: Option<&str>) -> Result<Secret, ServiceError> {
        let Some(text) = text else {
            return Ok(Zeroizing::new(rand::random::<[u8; LENGTH]>().to_vec()));
        };
        let decoded = text
            .strip_prefix(PREFIX)
            .and_then(|text| STANDARD.decode(text).ok());
        let secret = decoded.filter(|secret| LENGTHS.contains(&secret.len()));
        secret
            .map(Zeroizing::new)
            .ok_or_else(|| ServiceError::invalid("secret", "must be whsec_ and 24 to 64 bytes in Base64"))
    }

    pub(super) fn seal(&self, secret: &Secret) -> Vec<u8> {
        self.sealer.seal(&self.key, secret).bytes().to_vec()
    }

    /// `None` where the text was sealed by another node account, or is damaged.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Secret> {
        self.sealer.open(&self.key, sealed).ok().map(Zeroizing::new)
    }
}
