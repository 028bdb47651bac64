//! `dm-node dev`: a node for trying and developing, ready at once.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use anyhow::Context;
use dm_core::{
    api_key::{Rights, Scope},
    config::{MetricsConfig, NodeConfig},
    hash::DataHash,
    secret::ContentKey,
};
use dm_services::RegisteredPlugins;
use serde_json::json;

use crate::{
    cli::DevArgs,
    commands::{api_key, start},
    data_dir, home,
    node::Node,
    output::{self, cell},
    settings::{self, Override, Sources, parsed},
    stop_signal::StopSignal,
};

/// Holds the throw-away password.
const PASSWORD_FILE: &str = "dev-password";
/// Holds the API key, so that it stays the same across restarts.
const API_KEY_FILE: &str = "dev-api-key";
/// What the printed example shares.
const EXAMPLE: &str = "Hello, DataMgmt!";

pub(crate) async fn run(args: DevArgs, as_json: bool, plugins: RegisteredPlugins) -> anyhow::Result<()> {
    let mut loaded = settings::load(Sources {
        presets: presets(args.mdns),
        file: None,
        flags: home::overrides(&args.options),
        to_run: true,
        ..Sources::default()
    })?;
    home::choose_port(&mut loaded.config, &args.options);
    choose_metrics_port(&mut loaded.config.metrics);
    let stop = StopSignal::catch()?;
    let node = start::start(&loaded, plugins, async |config| {
        let config = with_password(config)?;
        if home::keys_exist(&config).await? {
            home::open_keys(&config).await
        } else {
            home::create_keys(&config).await
        }
    })
    .await?;
    let dir = &loaded.config.data_dir;
    let api_key = api_key(&node, dir).await?;
    let mut document = node.document();
    document["api_key"] = json!(api_key);
    document["data_dir"] = json!(dir);
    output::print(as_json, &document, describe)?;
    node.run_until_stopped(stop).await
}

/// What is different from `run`: everything stays on this machine, or with
/// mDNS the peer-to-peer network on the local one.
fn presets(mdns: bool) -> Vec<Override> {
    let (mdns, host) = if mdns {
        ("true", "0.0.0.0")
    } else {
        ("false", "127.0.0.1")
    };
    [
        ("data_dir", "dm-dev"),
        ("node_id", "dm-dev"),
        ("log.filter", "warn"),
        ("external_api.host", "127.0.0.1"),
        ("network.host", host),
        ("network.mdns", mdns),
    ]
    .map(|(name, value)| parsed(name.to_owned(), value))
    .to_vec()
}

/// Lets the system choose the port of the metrics where the set one is taken, perhaps by
/// another node that somebody tries beside this one.
fn choose_metrics_port(metrics: &mut MetricsConfig) {
    if let Ok(Some(address)) = metrics.address()
        && TcpListener::bind(address).is_err()
    {
        metrics.listen = SocketAddr::new(address.ip(), 0).to_string();
    }
}

/// The configuration with a password: a given one, else a throw-away one that
/// stays in the data directory.
fn with_password(config: &NodeConfig) -> anyhow::Result<NodeConfig> {
    let mut config = config.clone();
    if config.key_master_password.is_none() {
        let file = config.data_dir.join(PASSWORD_FILE);
        if !file.exists() {
            data_dir::write_private(&file, &throw_away_password())?;
        }
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        config.key_master_password = Some(dm_core::secret::SecretString::new(text.trim()));
    }
    Ok(config)
}

/// 256 random bits in hexadecimal.
fn throw_away_password() -> String {
    DataHash::from_bytes(*ContentKey::random().as_bytes()).to_string()
}

/// The API key of this directory; made at the first start.
async fn api_key(node: &Node, dir: &Path) -> anyhow::Result<String> {
    let file = dir.join(API_KEY_FILE);
    if let Ok(key) = fs::read_to_string(&file) {
        return Ok(key.trim().to_owned());
    }
    let made = api_key::create(node.catalog(), "dev", Rights::of(Scope::ALL), None).await?;
    data_dir::write_private(&file, &made.key)?;
    Ok(made.key)
}

fn describe(document: &serde_json::Value) -> String {
    let (api, internal) = (cell(&document["external_api"]), cell(&document["internal_api"]));
    let (key, address) = (cell(&document["api_key"]), cell(&document["address"]));
    let console = cell(&document["console"]);
    let hash = DataHash::of(EXAMPLE.as_bytes());
    format!(
        "\
A DataMgmt node for development is ready. Its keys are throw-away keys and its
chain is its own; everything is in {data_dir}.

  account            {address}
  API for clients    {api}
  API for operators  {internal}
  console            {console}
  peers reach it at  {peer}
  metrics            {metrics}
  API key            {key}

Share something, read it back, check it against the chain:

  curl -sS -H 'X-API-Key: {key}' -H 'Content-Type: application/json' -d '{{\"data\": \"{EXAMPLE}\", \"recipient\": \"{address}\"}}' {api}/share_data
  curl -sS -H 'X-API-Key: {key}' {api}/data/{hash}
  curl -sS {api}/verify_data/{hash}
  curl -sS -H 'X-API-Key: {key}' {internal}/balance/{address}

The console opens in a browser; sign in with the API key.

Ctrl-C ends it.",
        data_dir = cell(&document["data_dir"]),
        peer = cell(&document["p2p"][0]),
        metrics = cell(&document["metrics"]),
    )
}
