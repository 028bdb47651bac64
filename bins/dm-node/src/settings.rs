//! Where the configuration comes from: defaults, the file, the environment,
//! the command line. Later ones win.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::logging;
use anyhow::{Context, bail};
use dm_core::{
    config::{ConfigFault, NodeConfig},
    secret::SecretString,
};
use figment::{
    Figment,
    error::Kind,
    providers::{Format, Serialized, Toml},
    value::{Dict, Tag, Value},
};

/// The commented default file.
pub(crate) const DEFAULT_FILE: &str = include_str!("dm-node.default.toml");

/// Environment variables of the older node, and the settings that they name.
const OLDER_NAMES: [(&str, &str); 22] = [
    ("BLOCKCHAIN_TYPE", "blockchain_type"),
    ("BLOCKCHAIN_URL", "blockchain_url"),
    ("CONTRACTS_DIR", "contracts_dir"),
    ("DASHBOARD_API_PORT", "dashboard_api.port"),
    ("DATA_DIR", "data_dir"),
    ("DB_PATH", "db_path"),
    ("EXTERNAL_API_HOST", "external_api.host"),
    ("EXTERNAL_API_PORT", "external_api.port"),
    ("INITIAL_PEERS", "initial_peers"),
    ("INTERNAL_API_HOST", "internal_api.host"),
    ("INTERNAL_API_PORT", "internal_api.port"),
    ("KEY_MASTER_PASSWORD", "key_master_password"),
    ("KEY_MASTER_PASSWORD_FILE", "key_master_password_file"),
    ("NATIVE_TOKEN_ADDRESS", "native_token_address"),
    ("NODE_ID", "node_id"),
    ("NODE_SIGNATURE", "node_signature"),
    ("P2P_PORT", "p2p_port"),
    ("PLUGIN_DIR", "plugin_dir"),
    ("PRIVATE_KEY", "private_key"),
    ("PRIVATE_KEY_FILE", "private_key_file"),
    ("RUST_LOG", "log.filter"),
    ("SQLITE_DB_PATH", "sqlite_db_path"),
];

/// Variables with our prefix that are no settings of the node.
const NOT_SETTINGS: [&str; 3] = ["DM_API", "DM_API_KEY", "DM_INTERNAL_API_URL"];

/// Settings that are lists; in the environment their items are separated by commas.
const LISTS: [&str; 10] = [
    "initial_peers",
    "network.allowed_peers",
    "network.external_addresses",
    "network.more_hosts",
    "network.relays",
    "internal_api.allowed_hosts",
    "internal_api.trusted_proxies",
    "external_api.allowed_hosts",
    "external_api.trusted_proxies",
    "plugins.required",
];

/// Settings that are `true` or `false`.
const SWITCHES: [&str; 8] = [
    "authorization.required",
    "keys.destroy_retired",
    "network.autonat",
    "network.bootstrap_only",
    "network.listen",
    "network.mdns",
    "network.relay_server",
    "network.upnp",
];
/// Begins the settings that grant a plugin something, which are lists as well.
const GRANTED: &str = "plugins.granted.";

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
}

/// The configuration, or every fault of it.
///
/// # Errors
/// Where the file cannot be read, and where the configuration has faults: then
/// the message has one line for each.
pub(crate) fn load(sources: Sources<'_>) -> anyhow::Result<NodeConfig> {
    let mut merged = from_file(sources.file)?;
    for (name, value) in sources.presets {
        insert_default(&mut merged, &name, value);
    }
    for (name, value) in environment().into_iter().chain(sources.flags) {
        insert(&mut merged, &name, value);
    }
    let (mut config, mut faults) = extract(merged);
    read_secret_files(&mut config, &mut faults);
    faults.extend(config.faults());
    faults.extend(faults_that_crates_know(&config));
    if faults.is_empty() {
        return Ok(config);
    }
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    bail!("the configuration has faults:\n{}", lines.join("\n"))
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

fn from_file(file: Option<&Path>) -> anyhow::Result<Dict> {
    let Some(path) = file else {
        return Ok(Dict::new());
    };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let figment = Figment::from(Toml::string(&text));
    figment
        .extract()
        .map_err(|error| anyhow::anyhow!("{} is not valid TOML: {error}", path.display()))
}

/// Takes the variables of a `.env` file in the working directory into the
/// environment, where they are not set already.
///
/// # Errors
/// Where there is one that cannot be read.
pub(crate) fn read_dot_env() -> anyhow::Result<()> {
    match dotenvy::dotenv() {
        Err(error) if !error.not_found() => Err(error).context("cannot read .env"),
        _ => Ok(()),
    }
}

/// The data directory, which has to be known before the file in it is read.
pub(crate) fn data_dir_from_environment() -> Option<PathBuf> {
    ["DM_DATA_DIR", "DATA_DIR"]
        .into_iter()
        .find_map(std::env::var_os)
        .map(PathBuf::from)
}

/// What the environment sets: the older names first, ours after them.
fn environment() -> Vec<Override> {
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        // Compose files set what is not set to nothing.
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let older = OLDER_NAMES
        .iter()
        .filter_map(|(name, setting)| Some(((*setting).to_owned(), variables.get(*name)?.as_str())));
    let ours = variables
        .iter()
        .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
        .filter_map(|(name, value)| {
            let setting = name.strip_prefix("DM_")?.to_lowercase().replace("__", ".");
            Some((setting, value.as_str()))
        });
    older
        .chain(ours)
        .map(|(setting, value)| parsed(setting, value))
        .collect()
}

/// A setting from text: a list, a number, yes or no, or the text itself.
pub(crate) fn parsed(setting: String, text: &str) -> Override {
    let value = if LISTS.contains(&setting.as_str()) || setting.starts_with(GRANTED) {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Value::from(items.map(Value::from).collect::<Vec<_>>())
    } else if SWITCHES.contains(&setting.as_str())
        && let Ok(switch) = text.trim().parse::<bool>()
    {
        Value::from(switch)
    } else if is_number(&setting)
        && let Ok(number) = text.trim().parse::<u64>()
    {
        Value::from(number)
    } else {
        Value::from(text)
    };
    (setting, value)
}

/// Whether a setting is a number; a name such as `node_id` may consist of
/// digits and is a text all the same.
fn is_number(setting: &str) -> bool {
    const ENDINGS: [&str; 17] = [
        "port",
        "per_second",
        "per_sec",
        "burst",
        "_bytes",
        "_secs",
        "_days",
        "_factor",
        "_circuits",
        "_in_flight",
        ".min_peers",
        "connections",
        "_peer",
        "_memory",
        "_object",
        "_limit",
        "confirmations",
    ];
    ENDINGS.iter().any(|ending| setting.ends_with(ending)) || setting.contains(".max_")
}

/// Sets what is not set yet.
fn insert_default(dict: &mut Dict, name: &str, value: Value) {
    let is_set = match name.split_once('.') {
        None => dict.contains_key(name),
        Some((section, rest)) => {
            matches!(dict.get(section), Some(Value::Dict(_, inner)) if inner.contains_key(rest))
        }
    };
    if !is_set {
        insert(dict, name, value);
    }
}

fn insert(dict: &mut Dict, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            dict.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let entry = dict
                .entry(section.to_owned())
                .or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
            if !matches!(entry, Value::Dict(..)) {
                *entry = Value::Dict(Tag::Default, Dict::new());
            }
            if let Value::Dict(_, section) = entry {
                insert(section, rest, value);
            }
        }
    }
}

/// Reads the settings; one that cannot be read becomes a fault, and its
/// default stands in, so that the others are looked at, too.
fn extract(mut merged: Dict) -> (NodeConfig, Vec<ConfigFault>) {
    let mut faults = Vec::new();
    loop {
        let error = match defaults_of_sections()
            .merge(Serialized::defaults(&merged))
            .extract::<NodeConfig>()
        {
            Ok(config) => return (config, faults),
            Err(error) => error,
        };
        faults.push(ConfigFault {
            field: error.path.join("."),
            reason: match &error.kind {
                Kind::UnknownField(..) => "there is no such setting".to_owned(),
                kind => kind.to_string(),
            },
        });
        if !remove(&mut merged, &error.path) {
            return (NodeConfig::default(), faults);
        }
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

/// Removes the setting at `path`, or the nearest one around it.
fn remove(dict: &mut Dict, path: &[String]) -> bool {
    match path {
        [] => false,
        [name] => dict.remove(name).is_some(),
        [section, rest @ ..] => {
            let removed_inside = match dict.get_mut(section) {
                Some(Value::Dict(_, inner)) => remove(inner, rest),
                _ => false,
            };
            removed_inside || dict.remove(section).is_some()
        }
    }
}

fn read_secret_files(config: &mut NodeConfig, faults: &mut Vec<ConfigFault>) {
    let NodeConfig {
        private_key,
        private_key_file,
        key_master_password,
        key_master_password_file,
        ..
    } = config;
    for (name, value, file) in [
        ("private_key_file", private_key, private_key_file),
        (
            "key_master_password_file",
            key_master_password,
            key_master_password_file,
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
