//! Certificates for tests of TLS.
#![allow(clippy::unwrap_used)]

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use sha2::{Digest, Sha256};

/// An authority that signs certificates.
pub struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

/// A certificate and its key, each in PEM.
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
}

impl Authority {
    /// An authority with this name and a new key.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap(),
            key,
        }
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for these host names and addresses, whose common name is the first.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.sign(names, |_| {})
    }

    /// The same, ended in 2020.
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        self.sign(names, |params| {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        })
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, names[0].as_str());
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        Issued {
            cert: certificate.pem(),
            key: key.serialize_pem(),
            fingerprint: hex::encode(Sha256::digest(certificate.der())),
        }
    }
}
