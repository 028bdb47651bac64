//! The configuration of a node: what can be set, the defaults, and what is
//! valid. Where the values come from is the business of the binary.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{address::parse_address, secret::SecretString};

mod api_keys;
mod authorization;
mod catalog;
mod events;
mod inbox;
mod keys;
mod metrics;
mod money;
mod network;
mod plugins;
mod s3;
mod sign_in;
mod tls;
mod traces;
mod uploads;
mod validate;

pub use api_keys::ApiKeysConfig;
pub use authorization::AuthorizationConfig;
pub use catalog::CatalogConfig;
pub use events::EventsConfig;
pub use inbox::{Accept, Acknowledge, FetchConfig, FetchFrom, InboxConfig, InvalidFetchFrom};
pub use keys::KeysConfig;
pub use metrics::{InvalidListen, MetricsConfig};
pub use money::{ChainConfig, PaymentsConfig};
pub use network::NetworkConfig;
pub use plugins::PluginsConfig;
pub use s3::{InvalidObjectsUrl, ObjectsUrl, S3Config};
pub use sign_in::{InvalidRole, SignInConfig};
pub use tls::{ClientCertificate, ClientKey, InvalidClientKey, TlsConfig};
pub use traces::{InvalidTraces, TracesConfig};
pub use uploads::UploadsConfig;
pub use validate::ConfigFault;

/// Everything that an operator can set.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Kind of chain; only `evm`.
    pub blockchain_type: String,
    /// JSON-RPC endpoints of one chain (http, https, ws, wss), comma-separated
    /// and the preferred one first, or `devnet` for the embedded chain.
    pub blockchain_url: String,
    /// Private key of the node account, 64 hexadecimal digits; else the keystore file is used.
    pub private_key: Option<SecretString>,
    /// File that holds `private_key`.
    pub private_key_file: Option<PathBuf>,
    /// Address under which clients name the chain's own coin.
    pub native_token_address: String,
    /// Where everything is kept that has no place of its own below.
    pub data_dir: PathBuf,
    /// Folder of the object store; `objects` in `data_dir` if not set.
    pub db_path: Option<PathBuf>,
    /// File of the catalog; `catalog.sqlite` in `data_dir` if not set.
    pub sqlite_db_path: Option<PathBuf>,
    /// PostgreSQL database of the catalog, in place of a file: `postgres://USER@HOST:PORT/DATABASE`,
    /// with `sslmode` and `sslrootcert` as parameters. Needs the feature `postgres`.
    pub catalog_url: Option<SecretString>,
    /// How that is reached.
    pub catalog: CatalogConfig,
    /// For how many seconds a node that is told to stop still serves, while `/readyz` says that
    /// it is not ready; at most 3600.
    pub drain_secs: u64,
    /// TCP and UDP port of the peer-to-peer network, 1 to 65535.
    pub p2p_port: u16,
    /// Folder of the plugins; `plugins` in `data_dir` if not set.
    pub plugin_dir: Option<PathBuf>,
    /// Name of this node, 1 to 100 characters.
    pub node_id: String,
    /// An authorised user's signature that attests this node, as
    /// `USER_ID:SIGNATURE`.
    pub node_signature: Option<String>,
    /// Peers to begin with: multiaddrs, `host:port`, or `http://host:port`.
    pub initial_peers: Vec<String>,
    /// Password that protects the node's keys.
    pub key_master_password: Option<SecretString>,
    /// File that holds `key_master_password`.
    pub key_master_password_file: Option<PathBuf>,
    /// API for operators.
    pub internal_api: ApiConfig,
    /// API for clients.
    pub external_api: ApiConfig,
    /// How many uploads there may be, and how slow.
    pub uploads: UploadsConfig,
    /// Console in the browser, and both APIs for its page.
    pub dashboard_api: ApiConfig,
    /// Peer-to-peer network.
    pub network: NetworkConfig,
    /// Local storage.
    pub storage: StorageConfig,
    /// Transactions on the chain.
    pub chain: ChainConfig,
    /// Payments for shares.
    pub payments: PaymentsConfig,
    /// The node's own keys.
    pub keys: KeysConfig,
    /// What the inbox lets in, and what becomes of it.
    pub inbox: InboxConfig,
    /// Who may order shares.
    pub authorization: AuthorizationConfig,
    /// How wrong API keys are met.
    pub api_keys: ApiKeysConfig,
    /// Sign-in with an account of the company.
    pub sign_in: SignInConfig,
    /// Recording shares on the chain.
    pub compliance: ComplianceConfig,
    /// Events for programs.
    pub events: EventsConfig,
    /// What plugins may do.
    pub plugins: PluginsConfig,
    /// Figures for programs that watch the node.
    pub metrics: MetricsConfig,
    /// Traces of requests for a collector.
    pub traces: TracesConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            blockchain_type: "evm".to_owned(),
            blockchain_url: "devnet".to_owned(),
            private_key: None,
            private_key_file: None,
            native_token_address: crate::token::NATIVE_TOKEN.to_string(),
            data_dir: PathBuf::from("dm-data"),
            db_path: None,
            sqlite_db_path: None,
            catalog_url: None,
            catalog: CatalogConfig::default(),
            drain_secs: 0,
            p2p_port: 9000,
            plugin_dir: None,
            node_id: "dm-node".to_owned(),
            node_signature: None,
            initial_peers: Vec::new(),
            key_master_password: None,
            key_master_password_file: None,
            internal_api: ApiConfig::internal(),
            external_api: ApiConfig::external(),
            uploads: UploadsConfig::default(),
            dashboard_api: ApiConfig::dashboard(),
            network: NetworkConfig::default(),
            storage: StorageConfig::default(),
            chain: ChainConfig::default(),
            payments: PaymentsConfig::default(),
            keys: KeysConfig::default(),
            inbox: InboxConfig::default(),
            authorization: AuthorizationConfig::default(),
            api_keys: ApiKeysConfig::default(),
            sign_in: SignInConfig::default(),
            compliance: ComplianceConfig::default(),
            events: EventsConfig::default(),
            plugins: PluginsConfig::default(),
            metrics: MetricsConfig::default(),
            traces: TracesConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// One of the HTTP servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Address of the interface.
    pub host: IpAddr,
    /// TCP port; 0 lets the system choose.
    pub port: u16,
    /// Requests that a client may make.
    pub rate_limit: RateLimit,
    /// Largest JSON body in bytes.
    pub max_json_bytes: usize,
    /// Seconds that a request may take, uploads and downloads excepted.
    pub request_timeout_secs: u64,
    /// Seconds that an upload may stand still before it is given up.
    pub idle_timeout_secs: u64,
    /// Proxies whose `X-Forwarded-For` header names the client.
    pub trusted_proxies: Vec<IpAddr>,
    /// Host names, without port, under which the API may be called besides the
    /// loopback names and the address it listens on. The API for clients may be
    /// called under any name where this is empty.
    pub allowed_hosts: Vec<String>,
    /// How it is served over TLS.
    pub tls: TlsConfig,
}

impl ApiConfig {
    /// Defaults of the API for operators.
    pub fn internal() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 8080,
            rate_limit: RateLimit {
                per_second: 50,
                burst: 100,
            },
            ..Self::external()
        }
    }

    /// Defaults of the console.
    pub fn dashboard() -> Self {
        Self {
            port: 8082,
            ..Self::internal()
        }
    }

    /// Defaults of the API for clients.
    pub fn external() -> Self {
        Self {
            host: IpAddr::from([0, 0, 0, 0]),
            port: 8081,
            rate_limit: RateLimit {
                per_second: 10,
                burst: 20,
            },
            // 1 MiB of data may need six bytes a character in JSON.
            max_json_bytes: 6 * 1024 * 1024 + 64 * 1024,
            request_timeout_secs: 60,
            idle_timeout_secs: 30,
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            tls: TlsConfig::default(),
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self::external()
    }
}

/// Rate and burst of a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests a second that a client may make for long; at least 1.
    pub per_second: u32,
    /// Requests that it may make at once; at least 1.
    pub burst: u32,
}

/// Which engine keeps the objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectEngine {
    /// fjall for small objects, a file for each large one.
    #[default]
    Fjall,
    /// sled 0.34; does not survive a power cut. Needs the feature `sled`.
    Sled,
    /// RocksDB. Needs the feature `rocksdb`.
    Rocksdb,
}

/// Local storage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Engine of the object store: `fjall`, `sled` or `rocksdb`.
    pub engine: ObjectEngine,
    /// Objects of more than this many bytes are files of their own, or in the bucket.
    pub inline_limit: u64,
    /// Where large objects are kept instead of files: `s3://BUCKET/PREFIX`. Needs the feature `s3`.
    pub objects_url: Option<String>,
    /// How that is reached.
    pub s3: S3Config,
    /// Bytes of memory for the engine's cache.
    pub cache_bytes: u64,
    /// Most bytes of this node's own objects, envelopes included; for those of
    /// others see `network.max_foreign_bytes`.
    pub max_own_bytes: u64,
    /// Bytes that are read in a second to find damage.
    pub scrub_bytes_per_sec: u64,
    /// Seconds between two rounds through everything that is stored.
    pub scrub_interval_secs: u64,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            engine: ObjectEngine::Fjall,
            inline_limit: 256 * 1024,
            objects_url: None,
            s3: S3Config::default(),
            cache_bytes: 16 << 20,
            max_own_bytes: 1 << 40,
            scrub_bytes_per_sec: 8 << 20,
            scrub_interval_secs: 7 * 24 * 60 * 60,
        }
    }
}

/// Recording shares on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComplianceConfig {
    /// Blocks on top of an anchor's own after which it counts as final and is
    /// no longer watched for a reorganisation.
    pub confirmations: u64,
    /// Seconds that a share waits for its anchor before it answers `pending`.
    pub anchor_timeout_secs: u64,
    /// Most events in one anchor.
    pub max_batch: usize,
    /// Events that may wait to be recorded before new ones are turned away.
    pub max_waiting: usize,
    /// Seconds between two looks at anchors that are not final.
    pub watch_interval_secs: u64,
}

impl Default for ComplianceConfig {
    fn default() -> Self {
        Self {
            confirmations: 12,
            anchor_timeout_secs: 30,
            max_batch: 4096,
            max_waiting: 16 * 1024,
            watch_interval_secs: 5,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Filter in the form of `tracing`: a level, or `target=level`, comma-separated.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl NodeConfig {
    /// Folder of the object store.
    pub fn objects_dir(&self) -> PathBuf {
        self.db_path
            .clone()
            .unwrap_or_else(|| self.data_dir.join("objects"))
    }

    /// File of the catalog.
    pub fn catalog_file(&self) -> PathBuf {
        self.sqlite_db_path
            .clone()
            .unwrap_or_else(|| self.data_dir.join("catalog.sqlite"))
    }

    /// Folder of the plugins.
    pub fn plugins_dir(&self) -> PathBuf {
        self.plugin_dir
            .clone()
            .unwrap_or_else(|| self.data_dir.join("plugins"))
    }

    /// The JSON-RPC endpoints of the chain, the preferred one first.
    pub fn blockchain_urls(&self) -> Vec<&str> {
        self.blockchain_url.split(',').map(str::trim).collect()
    }

    /// Whether the chain is the embedded one.
    pub fn uses_devnet(&self) -> bool {
        self.blockchain_url == "devnet"
    }

    /// Every fault of the configuration; empty where the node can start.
    pub fn faults(&self) -> Vec<ConfigFault> {
        validate::faults(self)
    }
}

/// Whether a text is an address, for the validation.
fn is_address(text: &str) -> bool {
    parse_address(text).is_ok()
}
