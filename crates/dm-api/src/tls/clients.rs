//! Clients that are recognised by their certificates.

use std::sync::Arc;

use dm_core::config::{ClientCertificate, ClientKey};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::parse_x509_certificate;

/// What a connection's certificate says of the client, among the data of the connection.
/// An accepted authority has signed the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertifiedClient {
    /// Id of the API key that the certificate stands for.
    pub(crate) key_id: Arc<str>,
}

/// Which certificates stand for which API keys.
pub(super) struct CertifiedClients(Vec<(ClientCertificate, Arc<str>)>);

impl CertifiedClients {
    pub(super) fn new(keys: Vec<ClientKey>) -> Self {
        let keys = keys.into_iter();
        Self(keys.map(|key| (key.certificate, key.key_id.into())).collect())
    }

    /// Whose certificate it is: the first entry that names it counts.
    pub(super) fn find(&self, certificate: &CertificateDer<'_>) -> Option<CertifiedClient> {
        let fingerprint: [u8; 32] = Sha256::digest(certificate).into();
        let name = common_name(certificate);
        let (_, key_id) = self.0.iter().find(|(meant, _)| match meant {
            ClientCertificate::Fingerprint(meant) => *meant == fingerprint,
            ClientCertificate::CommonName(meant) => name.as_ref() == Some(meant),
        })?;
        Some(CertifiedClient {
            key_id: key_id.clone(),
        })
    }
}

/// The common name of the subject; `None` where it has none, or more than one.
fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(name)
}
