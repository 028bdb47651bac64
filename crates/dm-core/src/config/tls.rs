//! TLS of an API.

use std::{path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

/// With what an API proves who it is, and how it recognises clients by their certificates.
/// Without `cert_file` it is served without TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate, and after it those between it and its authority.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    pub key_file: Option<PathBuf>,
    /// PEM file with the authorities whose certificates clients may present.
    pub client_ca_file: Option<PathBuf>,
    /// API keys that certificates stand for, each as [`ClientKey`] reads it.
    pub client_keys: Vec<String>,
}

impl TlsConfig {
    /// Whether the API is served over TLS.
    pub fn is_on(&self) -> bool {
        self.cert_file.is_some()
    }

    /// The certificates that stand for API keys.
    ///
    /// # Errors
    /// [`InvalidClientKey`], which shows the entry.
    pub fn client_keys(&self) -> Result<Vec<ClientKey>, InvalidClientKey> {
        self.client_keys.iter().map(|entry| entry.parse()).collect()
    }
}

/// An API key, and the certificate that stands for it: `ID=sha256:FINGERPRINT` or `ID=cn:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    /// Id of the API key.
    pub key_id: String,
    /// Whose certificate it is.
    pub certificate: ClientCertificate,
}

/// Which certificate is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The one with this SHA-256.
    Fingerprint([u8; 32]),
    /// Each with this common name that an accepted authority has signed.
    CommonName(String),
}

/// The text does not say which certificate stands for which API key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` must be ID=sha256:FINGERPRINT (64 hexadecimal digits) or ID=cn:NAME")]
pub struct InvalidClientKey(String);

impl FromStr for ClientKey {
    type Err = InvalidClientKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidClientKey(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<ClientKey> {
    let (key_id, certificate) = text.split_once('=')?;
    let (kind, value) = certificate.trim().split_once(':')?;
    let (key_id, value) = (key_id.trim(), value.trim());
    if key_id.is_empty() || value.is_empty() {
        return None;
    }
    let certificate = match kind {
        "sha256" => ClientCertificate::Fingerprint(fingerprint(value)?),
        "cn" => ClientCertificate::CommonName(value.to_owned()),
        _ => return None,
    };
    Some(ClientKey {
        key_id: key_id.to_owned(),
        certificate,
    })
}

/// A fingerprint as `openssl x509 -fingerprint -sha256` prints it, or without the colons.
fn fingerprint(text: &str) -> Option<[u8; 32]> {
    hex::decode(text.replace(':', "")).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_named_by_its_fingerprint_or_its_common_name() {
        let expected = ClientCertificate::Fingerprint([0xAB; 32]);
        for digits in ["ab".repeat(32), ["AB"; 32].join(":")] {
            let key: ClientKey = format!("k1=sha256:{digits}").parse().unwrap();
            assert_eq!((key.key_id.as_str(), &key.certificate), ("k1", &expected));
        }
        let key: ClientKey = " k2 = cn:reports=daily ".parse().unwrap();
        assert_eq!(key.key_id, "k2");
        assert_eq!(
            key.certificate,
            ClientCertificate::CommonName("reports=daily".to_owned())
        );
    }

    #[test]
    fn what_names_no_certificate_is_refused() {
        for text in [
            "",
            "k",
            "k=",
            "=cn:a",
            "k=cn:",
            "k=a",
            "k=md5:ab",
            "k=sha256:ab",
            "k=sha256:zz",
        ] {
            assert!(text.parse::<ClientKey>().is_err(), "{text}");
        }
    }
}
