//! The files of a server's TLS, and what they hold.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use dm_core::config::TlsConfig;
use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use x509_parser::parse_x509_certificate;

/// Most bytes that are read of a file; a chain has a few thousand.
const MAX_FILE: u64 = 1 << 20;

/// A file of a server's TLS that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {file}: {reason}")]
pub struct TlsFault {
    /// The setting that names the file, such as `external_api.tls.cert_file`.
    pub setting: String,
    /// The file.
    pub file: String,
    /// Why it cannot be used.
    pub reason: String,
}

/// Which files a server uses.
#[derive(Debug, Clone)]
pub(super) struct TlsFiles {
    cert: Named,
    key: Named,
    client_ca: Option<Named>,
}

/// A file, and the setting that names it.
#[derive(Debug, Clone)]
struct Named {
    setting: String,
    path: PathBuf,
}

/// What the files hold now, as bytes.
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What a server works with.
pub(super) struct Material {
    /// The certificate with its key.
    pub(super) certified: Arc<CertifiedKey>,
    /// Who checks the certificates of clients, where they may present one.
    pub(super) clients: Option<Arc<dyn ClientCertVerifier>>,
    /// When the certificate begins and ends, in seconds since the Unix epoch.
    pub(super) valid: std::ops::Range<i64>,
}

impl TlsFiles {
    /// The files of the API whose settings are called `api`; `None` where it has no TLS.
    pub(super) fn new(api: &str, config: &TlsConfig) -> Option<Self> {
        let named = |name: &str, path: &Option<PathBuf>| {
            Some(Named {
                setting: format!("{api}.tls.{name}"),
                path: path.clone()?,
            })
        };
        Some(Self {
            cert: named("cert_file", &config.cert_file)?,
            key: named("key_file", &config.key_file)?,
            client_ca: named("client_ca_file", &config.client_ca_file),
        })
    }

    /// Reads the files. It blocks.
    pub(super) fn read(&self) -> Result<Contents, TlsFault> {
        Ok(Contents {
            cert: self.cert.read()?,
            key: self.key.read()?,
            client_ca: self.client_ca.as_ref().map(Named::read).transpose()?,
        })
    }

    /// What a server works with, of what the files hold.
    pub(super) fn parse(
        &self,
        contents: &Contents,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Material, TlsFault> {
        let chain = self.cert.certificates(&contents.cert)?;
        let valid = validity(&chain[0]).ok_or_else(|| self.cert.fault("its first certificate is damaged"))?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| self.key.fault("it holds no whole private key in PEM"))?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => self
                .key
                .fault("it is not the key of the certificate in cert_file"),
            error => self.key.fault(&error.to_string()),
        })?;
        let clients = match (&self.client_ca, &contents.client_ca) {
            (Some(file), Some(pem)) => Some(file.client_verifier(pem, provider)?),
            _ => None,
        };
        Ok(Material {
            certified: Arc::new(certified),
            clients,
            valid,
        })
    }

    /// Whether clients may present certificates.
    pub(super) fn ask_clients(&self) -> bool {
        self.client_ca.is_some()
    }
}

impl Named {
    fn read(&self) -> Result<Vec<u8>, TlsFault> {
        read_some(&self.path).map_err(|error| self.fault(&format!("it cannot be read: {error}")))
    }

    fn certificates(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            Ok(_) => Err(self.fault("it holds no certificate in PEM")),
            Err(_) => Err(self.fault("it holds a certificate that is not whole")),
        }
    }

    fn client_verifier(
        &self,
        pem: &[u8],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsFault> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(pem)? {
            roots
                .add(certificate)
                .map_err(|error| self.fault(&error.to_string()))?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| self.fault(&error.to_string()))
    }

    fn fault(&self, reason: &str) -> TlsFault {
        TlsFault {
            setting: self.setting.clone(),
            file: self.path.display().to_string(),
            reason: reason.to_owned(),
        }
    }
}

impl Contents {
    /// Tells whether the files have changed.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()] {
            digest.update(Sha256::digest(part.map_or(&[][..], Vec::as_slice)));
        }
        digest.finalize().into()
    }
}

fn read_some(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it has more than {MAX_FILE} bytes")));
    }
    Ok(bytes)
}

fn validity(certificate: &CertificateDer<'_>) -> Option<std::ops::Range<i64>> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let validity = certificate.validity();
    Some(validity.not_before.timestamp()..validity.not_after.timestamp())
}
