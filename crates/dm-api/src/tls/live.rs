//! What a server uses for TLS now, while its files may change.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    config::ApiConfig,
    health::{Finding, Trouble},
    ports::HealthCheck,
};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConnection,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

use super::{
    clients::{CertifiedClient, CertifiedClients},
    files::{Contents, Material, TlsFault, TlsFiles},
};

/// Between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// A certificate that ends in less than this is to be renewed, in seconds; one that lives
/// shorter than three times this, in its last third.
const RENEW_BEFORE: i64 = 14 * 24 * 60 * 60;

/// What one server uses for TLS. Connections keep what they began with.
pub(crate) struct LiveTls {
    part: &'static str,
    files: TlsFiles,
    clients: CertifiedClients,
    provider: Arc<CryptoProvider>,
    state: RwLock<State>,
}

struct State {
    material: Arc<Material>,
    /// What was seen in the files last: their digest, or why they cannot be read.
    seen: Result<[u8; 32], TlsFault>,
    /// Why that is not in use.
    fault: Option<TlsFault>,
}

impl LiveTls {
    /// Reads the files of the API for operators; `None` where it has no TLS.
    ///
    /// # Errors
    /// [`TlsFault`], which names the setting.
    pub(crate) fn internal(config: &ApiConfig) -> Result<Option<Arc<Self>>, TlsFault> {
        Self::load("internal_api", "internal_api_tls", config)
    }

    /// The same for the API for clients.
    ///
    /// # Errors
    /// [`TlsFault`], which names the setting.
    pub(crate) fn external(config: &ApiConfig) -> Result<Option<Arc<Self>>, TlsFault> {
        Self::load("external_api", "external_api_tls", config)
    }

    /// The same for the console.
    ///
    /// # Errors
    /// [`TlsFault`], which names the setting.
    pub(crate) fn console(config: &ApiConfig) -> Result<Option<Arc<Self>>, TlsFault> {
        Self::load("dashboard_api", "dashboard_api_tls", config)
    }

    /// `api` is the name of the settings, `part` that in `/health`.
    fn load(api: &str, part: &'static str, config: &ApiConfig) -> Result<Option<Arc<Self>>, TlsFault> {
        let Some(files) = TlsFiles::new(api, &config.tls) else {
            return Ok(None);
        };
        let clients = config.tls.client_keys().map_err(|error| TlsFault {
            setting: format!("{api}.tls.client_keys"),
            file: "the list".to_owned(),
            reason: error.to_string(),
        })?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let contents = files.read()?;
        let material = Arc::new(files.parse(&contents, &provider)?);
        let tls = Self {
            part,
            files,
            clients: CertifiedClients::new(clients),
            provider,
            state: RwLock::new(State {
                material,
                seen: Ok(contents.digest()),
                fault: None,
            }),
        };
        Ok(Some(Arc::new(tls)))
    }

    /// How the certificate is now.
    pub(super) fn finding(&self) -> Finding {
        let (fault, valid) = self.read(|state| (state.fault.clone(), state.material.valid.clone()));
        match fault {
            Some(fault) => Finding::Degraded(Trouble::new(
                format!("the certificate that was read before is in use: {fault}"),
                "put a whole certificate and its key into the files that the settings name",
            )),
            None => judge(&valid, (now_ms() / 1000) as i64),
        }
    }

    /// What a server is set up with, once for all certificates that there will be.
    ///
    /// # Errors
    /// Where the provider of cryptography lacks something; ours does not.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = if self.files.ask_clients() {
            builder.with_client_cert_verifier(Arc::new(Clients(self.clone())))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(Arc::new(Certificates(self.clone())));
        // A session that resumes is checked by nobody: a client would accept a certificate that
        // was replaced, and be taken for one whose authority is not accepted any more.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// The client of a connection, where its certificate stands for an API key.
    pub(crate) fn client(&self, connection: &ServerConnection) -> Option<CertifiedClient> {
        self.clients.find(connection.peer_certificates()?.first()?)
    }

    /// Looks at the files until the server stops.
    pub(crate) async fn watch(self: Arc<Self>, stopped: CancellationToken) {
        loop {
            let pause = tokio::time::sleep(LOOK_INTERVAL);
            if stopped.run_until_cancelled(pause).await.is_none() {
                return;
            }
            let looking = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || looking.look()).await {
                tracing::warn!(%error, part = self.part, "the files of TLS could not be looked at");
            }
        }
    }

    /// Takes what the files hold, where that has changed and is whole.
    fn look(&self) {
        let contents = self.files.read();
        let seen = contents.as_ref().map(Contents::digest).map_err(TlsFault::clone);
        if self.read(|state| state.seen == seen) {
            return;
        }
        let material = contents.and_then(|contents| self.files.parse(&contents, &self.provider));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.seen = seen;
        match material {
            Ok(material) => {
                tracing::info!(part = self.part, "the certificate was read again");
                state.material = Arc::new(material);
                state.fault = None;
            }
            Err(fault) => {
                tracing::warn!(part = self.part, %fault, "the certificate that was read before stays in use");
                state.fault = Some(fault);
            }
        }
    }

    fn material(&self) -> Arc<Material> {
        self.read(|state| state.material.clone())
    }

    fn read<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for LiveTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HealthCheck for LiveTls {
    fn part(&self) -> &'static str {
        self.part
    }

    async fn check(&self) -> Finding {
        self.finding()
    }
}

/// Judges a certificate by its time, in seconds since the Unix epoch. One that has ended makes
/// the node degraded alone: peers, the chain and the other API need none of it.
fn judge(valid: &std::ops::Range<i64>, now: i64) -> Finding {
    let renew = "put a new certificate and its key into the files that the settings name";
    let renew_before = RENEW_BEFORE.min((valid.end - valid.start) / 3);
    let (reason, action) = if now > valid.end {
        ("the certificate has expired: clients refuse it".to_owned(), renew)
    } else if now < valid.start {
        (
            "the certificate is not valid yet: clients refuse it".to_owned(),
            "check the clock of this machine, and the certificate",
        )
    } else if valid.end - now < renew_before {
        let hours = (valid.end - now) / 3600;
        (format!("the certificate ends in {hours} h"), renew)
    } else {
        return Finding::Working;
    };
    Finding::Degraded(Trouble::new(reason, action))
}

/// Hands out the certificate that is in use.
#[derive(Debug)]
struct Certificates(Arc<LiveTls>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.material().certified.clone())
    }
}

/// Checks certificates of clients by the authorities that are in use.
#[derive(Debug)]
struct Clients(Arc<LiveTls>);

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hint: the authorities may change.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let material = self.0.material();
        let clients = material.clients.as_ref();
        let clients = clients.ok_or_else(|| rustls::Error::General("no client authorities".to_owned()))?;
        clients.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0
            .provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn reason(valid: std::ops::Range<i64>, now: i64) -> Option<String> {
        match judge(&valid, now) {
            Finding::Working => None,
            Finding::Degraded(trouble) | Finding::Failed(trouble) => Some(trouble.reason),
        }
    }

    #[test]
    fn a_certificate_is_judged_by_its_time() {
        let year = 0..365 * DAY;
        assert!(reason(year.clone(), -1).unwrap().contains("not valid yet"));
        assert_eq!(reason(year.clone(), 350 * DAY), None);
        assert!(reason(year.clone(), 352 * DAY).unwrap().contains("ends in 312 h"));
        assert!(reason(year, 366 * DAY).unwrap().contains("has expired"));
        // One that lives for a day is not always about to end.
        assert_eq!(reason(0..DAY, DAY / 2), None);
        assert!(reason(0..DAY, DAY * 3 / 4).is_some());
    }
}
