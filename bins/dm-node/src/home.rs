//! How a command comes to the configuration and the keys of its node.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{anyhow, bail};
use dm_core::{config::NodeConfig, ports::SecretFiles, secret::SecretString};
use dm_keys::NodeKeys;

use crate::{
    catalog,
    cli::{NodeArgs, RunArgs},
    data_dir::CONFIG_FILE,
    data_dir_format,
    settings::{self, LoadedConfig, Override, Sources, parsed},
};

/// The configuration for a command that works on a node's data directory.
///
/// # Errors
/// See [`settings::load`].
pub(crate) fn load_config(args: &RunArgs) -> anyhow::Result<NodeConfig> {
    Ok(load(args, false)?.config)
}

/// The configuration for a node that is to run.
///
/// # Errors
/// See [`settings::load`].
pub(crate) fn load_to_run(args: &RunArgs) -> anyhow::Result<LoadedConfig> {
    load(args, true)
}

fn load(args: &RunArgs, to_run: bool) -> anyhow::Result<LoadedConfig> {
    let file = config_file(args)?;
    let mut loaded = settings::load(Sources {
        file: file.as_deref(),
        flags: overrides(&args.options),
        to_run,
        ..Sources::default()
    })?;
    choose_port(&mut loaded.config, &args.options);
    Ok(loaded)
}

/// The configuration file that a command reads, if there is one.
///
/// # Errors
/// Where the data directory is not one that a file can be looked for in.
pub(crate) fn config_file(args: &RunArgs) -> anyhow::Result<Option<PathBuf>> {
    match &args.config {
        Some(file) => Ok(Some(file.clone())),
        None => find_config_file(&args.options),
    }
}

/// The file in the data directory, else the one in the working directory.
fn find_config_file(options: &NodeArgs) -> anyhow::Result<Option<PathBuf>> {
    let data_dir = options
        .data_dir
        .clone()
        .or_else(settings::data_dir_from_environment)
        .unwrap_or_else(|| NodeConfig::default().data_dir);
    let data_dir = settings::expanded(&data_dir).map_err(|reason| anyhow!("data_dir: {reason}"))?;
    Ok([data_dir.join(CONFIG_FILE), PathBuf::from(CONFIG_FILE)]
        .into_iter()
        .find(|file| file.is_file()))
}

/// The settings that the command line gives.
pub(crate) fn overrides(options: &NodeArgs) -> Vec<Override> {
    let number =
        |name: &str, value: Option<u16>| value.map(|value| parsed(name.to_owned(), &value.to_string()));
    let text = |name: &str, value: Option<&str>| value.map(|value| parsed(name.to_owned(), value));
    let data_dir = options.data_dir.as_deref().map(Path::to_string_lossy);
    [
        text("data_dir", data_dir.as_deref()),
        text("node_id", options.node_id.as_deref()),
        text("blockchain_url", options.blockchain_url.as_deref()),
        number("p2p_port", options.p2p_port.filter(|port| *port > 0)),
        number("internal_api.port", options.internal_port),
        number("external_api.port", options.external_port),
        number("dashboard_api.port", options.dashboard_port),
        (!options.peers.is_empty()).then(|| parsed("initial_peers".to_owned(), &options.peers.join(","))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Lets the system choose the port of the peer-to-peer network where the
/// command line asks for 0. A configuration must name one: peers remember it.
pub(crate) fn choose_port(config: &mut NodeConfig, options: &NodeArgs) {
    if options.p2p_port == Some(0) {
        config.p2p_port = 0;
    }
}

/// Opens the node's keys, or makes them where there are none and
/// the node account is given by the configuration.
///
/// # Errors
/// Where a password or an account is missing or wrong: the message says which
/// setting to give.
pub(crate) async fn open_or_create_keys(config: &NodeConfig) -> anyhow::Result<NodeKeys> {
    let files = catalog::secret_files(config).await?;
    let exist = exist_in(&files).await?;
    if !exist && config.private_key.is_none() && !config.uses_devnet() {
        let place = match config.catalog_url {
            Some(_) => "the database of catalog_url".to_owned(),
            None => config.data_dir.display().to_string(),
        };
        bail!(
            "{place} holds no keys: set PRIVATE_KEY (or PRIVATE_KEY_FILE), or make an account with `dm-node init`"
        );
    }
    with_keys(config, files, move |files, password, private_key| {
        if exist {
            NodeKeys::open_in(files, password, private_key)
        } else {
            NodeKeys::create_in(files, password, private_key)
        }
    })
    .await
}

/// Whether the node has keys.
///
/// # Errors
/// Where that cannot be told.
pub(crate) async fn keys_exist(config: &NodeConfig) -> anyhow::Result<bool> {
    exist_in(&catalog::secret_files(config).await?).await
}

async fn exist_in(files: &Arc<dyn SecretFiles>) -> anyhow::Result<bool> {
    let files = files.clone();
    Ok(tokio::task::spawn_blocking(move || NodeKeys::exist_in(&*files)).await??)
}

/// Opens the keys that are there.
///
/// # Errors
/// As [`open_or_create_keys`].
pub(crate) async fn open_keys(config: &NodeConfig) -> anyhow::Result<NodeKeys> {
    with_keys(config, catalog::secret_files(config).await?, NodeKeys::open_in).await
}

/// Opens keys that are in these files, whatever the settings say.
///
/// # Errors
/// As [`open_or_create_keys`].
pub(crate) async fn open_keys_in(
    config: &NodeConfig,
    files: Arc<dyn SecretFiles>,
) -> anyhow::Result<NodeKeys> {
    with_keys(config, files, NodeKeys::open_in).await
}

/// Makes the keys of a new node.
///
/// # Errors
/// Where there are keys already, and where no password is given.
pub(crate) async fn create_keys(config: &NodeConfig) -> anyhow::Result<NodeKeys> {
    with_keys(config, catalog::secret_files(config).await?, NodeKeys::create_in).await
}

/// Keys are derived slowly, on purpose; that must not block the runtime.
async fn with_keys<F>(config: &NodeConfig, files: Arc<dyn SecretFiles>, work: F) -> anyhow::Result<NodeKeys>
where
    F: FnOnce(
            Arc<dyn SecretFiles>,
            Option<&SecretString>,
            Option<&SecretString>,
        ) -> Result<NodeKeys, dm_keys::KeyError>
        + Send
        + 'static,
{
    data_dir_format::check(&config.data_dir)?;
    let (password, private_key) = (config.key_master_password.clone(), config.private_key.clone());
    let working = move || work(files, password.as_ref(), private_key.as_ref());
    Ok(tokio::task::spawn_blocking(working).await??)
}
