//! Where the configuration comes from: defaults, the file, the environment,
//! the command line. Later ones win.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::bail;
use dm_api::{SettingOrigin, ShownSetting};
use dm_core::{
    config::{ConfigFault, NodeConfig},
    secret::SecretString,
};
use figment::{
    Figment,
    error::{Error, Kind},
    providers::Serialized,
    value::{Dict, Value},
};

use crate::{data_dir, logging};

mod dict;
#[cfg(test)]
mod effects;
mod environment;
mod file;
mod names;
mod origins;
mod shown;
mod texts;

pub(crate) use environment::{parsed, variable};
use origins::Origins;
pub(crate) use texts::expanded;

/// The commented default file.
pub(crate) const DEFAULT_FILE: &str = include_str!("dm-node.default.toml");

/// Settings that say who somebody is, and nothing of where a node keeps anything.
const CREDENTIALS: [&str; 7] = [
    "key_master_password",
    "key_master_password_file",
    "private_key",
    "private_key_file",
    "storage.s3.access_key_id",
    "storage.s3.secret_access_key",
    "storage.s3.session_token",
];

/// A setting by its dotted name, and its value.
pub(crate) type Override = (String, Value);

/// Where settings come from besides the environment, which stands between the
/// file and the flags.
#[derive(Default)]
pub(crate) struct Sources<'a> {
    /// Defaults of the command.
    pub(crate) presets: Vec<Override>,
    /// The configuration file.
    pub(crate) file: Option<&'a Path>,
    /// Options on the command line.
    pub(crate) flags: Vec<Override>,
    /// Whether a node is to run with the settings.
    pub(crate) to_run: bool,
    /// Whether the environment gives credentials alone: the settings are of another node than
    /// the one that it is for.
    pub(crate) is_other_node: bool,
}

/// The configuration, and what else is known of its settings.
#[derive(Debug)]
pub(crate) struct LoadedConfig {
    pub(crate) config: NodeConfig,
    /// Whether a source names the chain, which is the embedded one else.
    pub(crate) names_chain: bool,
    /// What the operator should know, a sentence each.
    pub(crate) warnings: Vec<String>,
    /// The settings that are given, as they may be shown: without secrets.
    pub(crate) shown: serde_json::Value,
    origins: Origins,
}

impl LoadedConfig {
    /// Every setting as it may be shown, in the order of the default file, and where its value
    /// comes from.
    pub(crate) fn settings(&self) -> Vec<ShownSetting> {
        self.origins.settings(&self.shown)
    }
}

/// The configuration, or every fault of it.
///
/// # Errors
/// Where the file cannot be read, and where the configuration has faults: then
/// the message has one line for each. No message shows the value of a secret.
pub(crate) fn load(sources: Sources<'_>) -> anyhow::Result<LoadedConfig> {
    let mut faults = Vec::new();
    let mut origins = Origins::default();
    let mut merged = match sources.file.map(|file| (file, file::read(file))) {
        None => Dict::new(),
        Some((file, Ok(settings))) => {
            origins.note_file(file, &settings);
            settings
        }
        Some((_, Err(fault))) => {
            faults.push(fault);
            Dict::new()
        }
    };
    for (name, value) in sources.presets {
        if dict::get(&merged, &name).is_none() {
            origins.note(&name, SettingOrigin::Command);
            dict::insert(&mut merged, &name, value);
        }
    }
    let mut given = environment::overrides();
    if sources.is_other_node {
        given.retain(|(_, (name, _))| CREDENTIALS.contains(&name.as_str()));
    }
    for (variable, (name, value)) in given {
        origins.note(&name, SettingOrigin::Environment(variable));
        dict::insert(&mut merged, &name, value);
    }
    for (name, value) in sources.flags {
        origins.note(&name, SettingOrigin::Option);
        dict::insert(&mut merged, &name, value);
    }
    let loaded = LoadedConfig {
        origins,
        ..read(merged, &mut faults)
    };
    if sources.to_run {
        faults.extend(chain_missing(&loaded));
    }
    if faults.is_empty() {
        return Ok(loaded);
    }
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    bail!("the configuration has faults:\n{}", lines.join("\n"))
}

/// Reads all settings; those with faults have their defaults.
fn read(mut merged: Dict, faults: &mut Vec<ConfigFault>) -> LoadedConfig {
    texts::drop_empty(&mut merged);
    faults.extend(texts::expand_paths(&mut merged));
    let names_chain = merged.contains_key("blockchain_url");
    let warnings = names::take_removed(&mut merged);
    let shown = shown::shown(&merged);
    let mut config = extract(merged, faults);
    read_secret_files(&mut config, faults);
    faults.extend(config.faults());
    faults.extend(faults_that_crates_know(&config));
    LoadedConfig {
        config,
        names_chain,
        warnings,
        shown,
        origins: Origins::default(),
    }
}

/// Keys for a real chain must not end up on the embedded one because a file or a variable
/// was not found.
fn chain_missing(loaded: &LoadedConfig) -> Option<ConfigFault> {
    let is_missing = !loaded.names_chain && data_dir::is_made_by_init(&loaded.config.data_dir);
    is_missing.then(|| ConfigFault {
        field: "blockchain_url".to_owned(),
        reason: format!(
            "is not set, and `dm-node init` has made {}: give the JSON-RPC endpoints of its chain, or `devnet` for the embedded one",
            loaded.config.data_dir.display()
        ),
    })
}

/// Faults of settings whose form is the business of the crate that uses them.
fn faults_that_crates_know(config: &NodeConfig) -> Vec<ConfigFault> {
    let mut faults = dm_p2p::network_faults(&config.initial_peers, &config.network);
    let permissions = config
        .plugins
        .granted
        .values()
        .flatten()
        .filter_map(|permission| permission.parse::<dm_plugins::Permission>().err())
        .map(|error| ("plugins.granted", error.to_string()));
    let filter = logging::parse_filter(&config.log.filter).err();
    let filter = filter.map(|error| ("log.filter", error.to_string()));
    faults.extend(permissions.chain(filter).map(|(field, reason)| ConfigFault {
        field: field.to_owned(),
        reason,
    }));
    faults
}

/// The data directory, which has to be known before the file in it is read.
pub(crate) fn data_dir_from_environment() -> Option<PathBuf> {
    ["DM_DATA_DIR", "DATA_DIR"]
        .into_iter()
        .find_map(variable)
        .map(PathBuf::from)
}

/// Reads the settings; one that cannot be read becomes a fault, and its
/// default stands in, so that the others are looked at, too.
fn extract(mut merged: Dict, faults: &mut Vec<ConfigFault>) -> NodeConfig {
    loop {
        let error = match defaults_of_sections()
            .merge(Serialized::defaults(&merged))
            .extract::<NodeConfig>()
        {
            Ok(config) => return config,
            Err(error) => error,
        };
        faults.push(ConfigFault {
            field: error.path.join("."),
            reason: reason(&error),
        });
        let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
        if !dict::remove(&mut merged, &path) {
            return NodeConfig::default();
        }
    }
}

/// Why a setting cannot be read, without its value where that is a secret.
fn reason(error: &Error) -> String {
    match &error.kind {
        Kind::UnknownField(..) => names::unknown(&error.path.join(".")),
        _ if names::is_secret(&error.path) => "must be a text in quotes (its value is not shown)".to_owned(),
        kind => kind.to_string(),
    }
}

/// The defaults of sections that exist several times with different ones, so
/// that a file may set a part of them.
fn defaults_of_sections() -> Figment {
    let NodeConfig {
        internal_api,
        external_api,
        dashboard_api,
        ..
    } = NodeConfig::default();
    Figment::from(Serialized::default("internal_api", internal_api))
        .merge(Serialized::default("external_api", external_api))
        .merge(Serialized::default("dashboard_api", dashboard_api))
}

fn read_secret_files(config: &mut NodeConfig, faults: &mut Vec<ConfigFault>) {
    let NodeConfig {
        private_key,
        private_key_file,
        key_master_password,
        key_master_password_file,
        sign_in,
        ..
    } = config;
    for (name, value, file) in [
        ("private_key_file", private_key, private_key_file),
        (
            "key_master_password_file",
            key_master_password,
            key_master_password_file,
        ),
        (
            "sign_in.client_secret_file",
            &mut sign_in.client_secret,
            &mut sign_in.client_secret_file,
        ),
    ] {
        let (Some(path), None) = (file.as_ref(), value.as_ref()) else {
            continue;
        };
        match fs::read_to_string(path) {
            Ok(text) => *value = Some(SecretString::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => faults.push(ConfigFault {
                field: name.to_owned(),
                reason: format!("cannot read {}: {error}", path.display()),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
