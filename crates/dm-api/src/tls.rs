//! TLS for the servers: certificates that are read again when their files change, and
//! clients that are recognised by theirs.

mod clients;
mod files;
mod live;

use dm_core::{
    config::ApiConfig,
    health::{Finding, Trouble},
};

pub(crate) use clients::CertifiedClient;
pub use files::TlsFault;
pub(crate) use live::LiveTls;

/// That a connection has TLS, among the data of the connection.
pub(crate) struct Encrypted;

/// How the certificates of the servers are, by the names of their settings; nothing for a server
/// that has none. It reads the files, and needs no server.
pub fn examine_tls(
    internal: &ApiConfig,
    external: &ApiConfig,
    console: &ApiConfig,
) -> Vec<(&'static str, Finding)> {
    let loaded = [
        ("internal_api", LiveTls::internal(internal)),
        ("external_api", LiveTls::external(external)),
        ("dashboard_api", LiveTls::console(console)),
    ];
    let found = |(api, loaded): (&'static str, Result<Option<_>, TlsFault>)| match loaded {
        Ok(tls) => Some((api, tls.as_deref().map(LiveTls::finding)?)),
        Err(fault) => {
            let action = "put a whole certificate and its key into the files that the settings name";
            Some((api, Finding::Failed(Trouble::new(fault.to_string(), action))))
        }
    };
    loaded.into_iter().filter_map(found).collect()
}
