//! How a running node is reached.

use std::{convert::Infallible, path::PathBuf};

use clap::Args;

use super::{RunArgs, or_default};
use crate::client::NodeClient;

/// Where the API for clients of a node on this machine is.
const EXTERNAL_API: &str = "http://127.0.0.1:8081";
/// Where its API for operators is.
pub(super) const INTERNAL_API: &str = "http://127.0.0.1:8080";

/// How a running node is reached.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// URL of the node's API for clients
    #[arg(long, env = "DM_API", default_value = EXTERNAL_API, value_parser = or_default(EXTERNAL_API))]
    pub(crate) api: String,
    /// API key
    #[arg(long, env = "DM_API_KEY", hide_env_values = true, default_value = "")]
    pub(crate) api_key: String,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// How the API for operators of a running node is reached.
#[derive(Debug, Args)]
pub(crate) struct InternalClientArgs {
    /// URL of the node's API for operators
    #[arg(long, env = "DM_INTERNAL_API_URL", default_value = INTERNAL_API, value_parser = or_default(INTERNAL_API))]
    pub(crate) api: String,
    /// API key
    #[arg(long, env = "DM_API_KEY", hide_env_values = true, default_value = "")]
    pub(crate) api_key: String,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// A path, also an empty one, as an environment variable may be.
fn path_or_nothing(text: &str) -> Result<PathBuf, Infallible> {
    Ok(PathBuf::from(text))
}

/// By whose certificates a node is recognised.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// PEM file of the authorities that sign the node's certificate (default: those of the
    /// system)
    #[arg(long, env = "DM_API_CA", value_name = "FILE", value_parser = path_or_nothing)]
    ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SupportBundleArgs {
    /// The archive that is made, such as support.tar.gz; never over another file
    pub(crate) file: PathBuf,
    /// A file with the node's log, of which the end is taken; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(flatten)]
    pub(crate) node: RunArgs,
}

impl TrustArgs {
    /// A client of the API at `api`; an empty key is not sent.
    ///
    /// # Errors
    /// Where the file of authorities cannot be used.
    pub(crate) fn connect(&self, api: &str, api_key: &str) -> anyhow::Result<NodeClient> {
        let given = self.ca.as_ref().filter(|file| !file.as_os_str().is_empty());
        NodeClient::new(api, api_key, given)
    }
}

impl ClientArgs {
    /// A client of the API for clients.
    ///
    /// # Errors
    /// Where the file of authorities cannot be used.
    pub(crate) fn connect(&self) -> anyhow::Result<NodeClient> {
        self.trust.connect(&self.api, &self.api_key)
    }
}

impl InternalClientArgs {
    /// A client of the API for operators.
    ///
    /// # Errors
    /// Where the file of authorities cannot be used.
    pub(crate) fn connect(&self) -> anyhow::Result<NodeClient> {
        self.trust.connect(&self.api, &self.api_key)
    }
}
