//! Signs tokens byte by byte, so that nothing keeps a test from signing a bad one.

use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub struct SigningKey {
    id: Option<&'static str>,
    kind: Kind,
}

enum Kind {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    pub fn rsa(id: &'static str) -> Self {
        Self::new(id, Kind::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub fn p256(id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(id, Kind::P256(pair))
    }

    pub fn ed25519(id: &'static str) -> Self {
        Self::new(id, Kind::Ed25519(Ed25519KeyPair::generate().unwrap()))
    }

    fn new(id: &'static str, kind: Kind) -> Self {
        Self { id: Some(id), kind }
    }

    /// The same key without a name.
    pub fn unnamed(mut self) -> Self {
        self.id = None;
        self
    }

    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.kind {
            Kind::Rsa(pair) => {
                let key = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": text(key.modulus().big_endian_without_leading_zero()),
                    "e": text(key.exponent().big_endian_without_leading_zero()),
                })
            }
            Kind::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Kind::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
        };
        jwk["use"] = "sig".into();
        if let Some(id) = self.id {
            jwk["kid"] = id.into();
        }
        jwk
    }

    fn algorithm(&self) -> &'static str {
        match &self.kind {
            Kind::Rsa(_) => "RS256",
            Kind::P256(_) => "ES256",
            Kind::Ed25519(_) => "EdDSA",
        }
    }

    /// A token as providers sign it.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with_head(&json!({"typ": "at+jwt"}), claims)
    }

    /// A token with more in its head, or with something else there.
    pub fn sign_with_head(&self, head: &Value, claims: &Value) -> String {
        let mut whole = json!({"alg": self.algorithm()});
        if let Some(id) = self.id {
            whole["kid"] = id.into();
        }
        for (name, value) in head.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let message = message(&whole, claims);
        let signature = self.signature(whole["alg"].as_str().unwrap(), message.as_bytes());
        format!("{message}.{}", text(&signature))
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::Rsa(pair) => {
                let padding = if algorithm == "PS256" {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Kind::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Kind::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// Texts and bytes in which somebody may have this public key.
    pub fn public_forms(&self) -> Vec<Vec<u8>> {
        let Kind::Rsa(pair) = &self.kind else {
            panic!("only RSA keys are told in forms");
        };
        let der = pair.public_key().as_der().unwrap().as_ref().to_vec();
        let pem = |body: &[u8]| {
            let body = base64::engine::general_purpose::STANDARD.encode(body);
            format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
        };
        let modulus = self.jwk()["n"].as_str().unwrap().to_owned();
        vec![
            pair.public_key().as_ref().to_vec(),
            pem(&der).into_bytes(),
            der,
            modulus.clone().into_bytes(),
            URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        ]
    }
}

/// A token with an HMAC, of a secret that its maker has chosen.
pub fn signed_with_secret(head: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = message(head, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", text(tag.as_ref()))
}

/// The part of a token that is signed.
pub fn message(head: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        text(head.to_string().as_bytes()),
        text(claims.to_string().as_bytes())
    )
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
