//! The keys with which the provider signs.

use dm_core::ports::IdentityError;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::http::document;

/// Most keys of one provider.
const MAX_KEYS: usize = 64;

/// A key that signs tokens.
pub(crate) struct Key {
    id: Option<String>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) key: DecodingKey,
}

/// The keys that count now.
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    pub(crate) async fn fetch(client: &Client, place: &str) -> Result<Self, IdentityError> {
        #[derive(Deserialize)]
        struct KeySet {
            keys: Vec<Value>,
        }
        let set: KeySet = document(client.get(place)).await?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        // A key of a kind that is not known here is no reason to refuse the others.
        Ok(Self(
            keys.filter_map(|key| Key::read(&serde_json::from_value(key).ok()?))
                .collect(),
        ))
    }

    /// The key that a token names; where it names none, the only one that can have signed it.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| {
            let is_named = id.is_none() || key.id.as_deref() == id;
            is_named && key.algorithms.contains(&algorithm)
        });
        let first = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then_some(first)
    }
}

impl Key {
    /// A public key for signatures; `None` for others, and for secrets first of all.
    fn read(jwk: &Jwk) -> Option<Self> {
        let is_for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
        if !is_for_signatures {
            return None;
        }
        let mut algorithms = of_kind(&jwk.algorithm);
        if let Some(meant) = jwk.common.key_algorithm {
            let meant = Algorithm::try_from(meant).ok()?;
            algorithms.retain(|algorithm| *algorithm == meant);
        }
        (!algorithms.is_empty()).then_some(())?;
        Some(Self {
            id: jwk.common.key_id.clone(),
            algorithms,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

/// The algorithms for which a key of this kind can be used.
fn of_kind(kind: &AlgorithmParameters) -> Vec<Algorithm> {
    match kind {
        AlgorithmParameters::RSA(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(parameters) => match parameters.curve {
            EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
