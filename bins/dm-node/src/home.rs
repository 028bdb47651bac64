//! The data directory: where the configuration file and the keys are, and how
//! they are opened or made.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use dm_core::config::NodeConfig;
use dm_keys::NodeKeys;

use crate::{
    cli::{NodeOptions, RunArgs},
    settings::{self, Override, Settings, Sources, parsed},
};

/// Name of the configuration file.
pub(crate) const CONFIG_FILE: &str = "dm-node.toml";
/// Left by `init`, so that the directory is known also where its configuration file is
/// kept elsewhere.
const INIT_MARK: &str = "made-by-init";

/// The configuration for a command that works on a node's data directory.
///
/// # Errors
/// See [`settings::load`].
pub(crate) fn load_config(args: &RunArgs) -> anyhow::Result<NodeConfig> {
    Ok(load(args, false)?.config)
}

/// The settings for a node that is to run.
///
/// # Errors
/// See [`settings::load`].
pub(crate) fn load_to_run(args: &RunArgs) -> anyhow::Result<Settings> {
    load(args, true)
}

fn load(args: &RunArgs, to_run: bool) -> anyhow::Result<Settings> {
    let file = match &args.config {
        Some(file) => Some(file.clone()),
        None => find_config_file(&args.options)?,
    };
    let mut settings = settings::load(Sources {
        file: file.as_deref(),
        flags: overrides(&args.options),
        to_run,
        ..Sources::default()
    })?;
    choose_port(&mut settings.config, &args.options);
    Ok(settings)
}

/// The file in the data directory, else the one in the working directory.
fn find_config_file(options: &NodeOptions) -> anyhow::Result<Option<PathBuf>> {
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

/// Whether `init` has made a data directory. Older versions left their configuration only.
pub(crate) fn is_made_by_init(data_dir: &Path) -> bool {
    [INIT_MARK, CONFIG_FILE]
        .into_iter()
        .any(|name| data_dir.join(name).is_file())
}

/// Notes that `init` makes a data directory.
///
/// # Errors
/// Where the note cannot be written.
pub(crate) fn mark_made_by_init(data_dir: &Path) -> anyhow::Result<()> {
    write_private(
        &data_dir.join(INIT_MARK),
        "This node runs on the embedded chain only where its configuration says blockchain_url = \"devnet\".\n",
    )
}

/// The settings that the command line gives.
pub(crate) fn overrides(options: &NodeOptions) -> Vec<Override> {
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
        (!options.peers.is_empty()).then(|| parsed("initial_peers".to_owned(), &options.peers.join(","))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Lets the system choose the port of the peer-to-peer network where the
/// command line asks for 0. A configuration must name one: peers remember it.
pub(crate) fn choose_port(config: &mut NodeConfig, options: &NodeOptions) {
    if options.p2p_port == Some(0) {
        config.p2p_port = 0;
    }
}

/// Opens the node's keys, or makes them where the data directory has none and
/// the node account is given by the configuration.
///
/// # Errors
/// Where a password or an account is missing or wrong: the message says which
/// setting to give.
pub(crate) async fn open_or_create_keys(config: &NodeConfig) -> anyhow::Result<NodeKeys> {
    let dir = config.data_dir.clone();
    let exist = NodeKeys::exist(&dir)?;
    if !exist && config.private_key.is_none() && !config.uses_devnet() {
        bail!(
            "{} holds no keys: set PRIVATE_KEY (or PRIVATE_KEY_FILE), or make an account with `dm-node init`",
            dir.display()
        );
    }
    with_keys(config, move |dir, password, private_key| {
        if exist {
            NodeKeys::open(dir, password, private_key)
        } else {
            NodeKeys::create(dir, password, private_key)
        }
    })
    .await
}

/// Opens the keys that are there.
///
/// # Errors
/// As [`open_or_create_keys`].
pub(crate) async fn open_keys(config: &NodeConfig) -> anyhow::Result<NodeKeys> {
    with_keys(config, NodeKeys::open).await
}

/// Makes the keys of a new node.
///
/// # Errors
/// Where there are keys already, and where no password is given.
pub(crate) async fn create_keys(config: &NodeConfig) -> anyhow::Result<NodeKeys> {
    with_keys(config, NodeKeys::create).await
}

/// Keys are derived slowly, on purpose; that must not block the runtime.
async fn with_keys<F>(config: &NodeConfig, work: F) -> anyhow::Result<NodeKeys>
where
    F: FnOnce(
            &Path,
            Option<&dm_core::secret::SecretString>,
            Option<&dm_core::secret::SecretString>,
        ) -> Result<NodeKeys, dm_keys::KeyError>
        + Send
        + 'static,
{
    let (dir, password, private_key) = (
        config.data_dir.clone(),
        config.key_master_password.clone(),
        config.private_key.clone(),
    );
    let keys =
        tokio::task::spawn_blocking(move || work(&dir, password.as_ref(), private_key.as_ref())).await??;
    Ok(keys)
}

/// Writes a new file that only its owner can read; never over another one.
///
/// # Errors
/// Where there is one already, or it cannot be written.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}
