//! Settings from environment variables.

use std::collections::BTreeMap;

use figment::value::Value;

use super::Override;

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

/// Variables by which programs for S3 are given credentials, and the settings that they name.
const S3_NAMES: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "storage.s3.access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "storage.s3.secret_access_key"),
    ("AWS_SESSION_TOKEN", "storage.s3.session_token"),
];

/// Begins the names of variables that are settings of this node.
const PREFIX: &str = "DM_";

/// Variables with our prefix that are no settings of the node.
const NOT_SETTINGS: [&str; 4] = ["DM_API", "DM_API_CA", "DM_API_KEY", "DM_INTERNAL_API_URL"];

/// Settings that are lists; in the environment their items are separated by commas.
const LISTS: [&str; 20] = [
    "dashboard_api.allowed_hosts",
    "dashboard_api.trusted_proxies",
    "dashboard_api.tls.client_keys",
    "initial_peers",
    "network.allowed_peers",
    "network.external_addresses",
    "events.allowed_networks",
    "inbox.fetch.from",
    "inbox.fetch.labels",
    "network.more_hosts",
    "network.relays",
    "internal_api.allowed_hosts",
    "internal_api.tls.client_keys",
    "internal_api.trusted_proxies",
    "external_api.allowed_hosts",
    "external_api.tls.client_keys",
    "external_api.trusted_proxies",
    "plugins.required",
    "sign_in.request_scopes",
    "sign_in.roles",
];

/// Settings that are `true` or `false`.
const SWITCHES: [&str; 14] = [
    "authorization.required",
    "catalog.through_pooler",
    "keys.destroy_retired",
    "network.autonat",
    "network.bootstrap_only",
    "network.listen",
    "network.mdns",
    "network.relay_server",
    "network.upnp",
    "plugins.examine_received",
    "storage.s3.allow_http",
    "storage.s3.instance_metadata",
    "storage.s3.path_style",
    "traces.show_data",
];
/// Begins the settings that grant a plugin something, which are lists as well.
const GRANTED: &str = "plugins.granted.";

/// An environment variable. One that is empty is not set: compose files set to nothing
/// what is not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the environment sets, each by the variable that sets it: the names of others first, ours
/// after them.
pub(super) fn overrides() -> Vec<(String, Override)> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    settings_in(variables.collect())
}

fn settings_in(mut variables: BTreeMap<String, String>) -> Vec<(String, Override)> {
    variables.retain(|name, value| !value.is_empty() && !describes_a_service(name, value));
    let older = OLDER_NAMES
        .iter()
        .chain(&S3_NAMES)
        .filter_map(|(name, setting)| Some((*name, (*setting).to_owned(), variables.get(*name)?.as_str())));
    let ours = variables
        .iter()
        .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
        .filter_map(|(name, value)| {
            let setting = name.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".");
            Some((name.as_str(), setting, value.as_str()))
        });
    older
        .chain(ours)
        .map(|(name, setting, value)| (name.to_owned(), parsed(setting, value)))
        .collect()
}

/// The variable that sets a setting.
pub(super) fn variable_name(setting: &str) -> String {
    format!("{PREFIX}{}", setting.to_uppercase().replace('.', "__"))
}

/// Whether Kubernetes, or a link of Docker, has made the variable for another service:
/// one that is called `dm-node` gives every pod `DM_NODE_PORT=tcp://…` and more.
fn describes_a_service(name: &str, value: &str) -> bool {
    let is_place = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    if name.contains("__") {
        return false;
    }
    let is_port = name.ends_with("_PORT") || name.contains("_PORT_");
    let is_ours = name.starts_with(PREFIX);
    (is_port && is_place)
        || (is_ours && (is_about_a_service(name) || is_about_a_port(name) || is_about_a_link(name, value)))
}

/// `DM_NODE_SERVICE_HOST`, `DM_NODE_SERVICE_PORT`, `DM_NODE_SERVICE_PORT_HTTP`.
fn is_about_a_service(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_")
}

/// `DM_NODE_PORT_8080_TCP`, and the same with `_PROTO`, `_PORT` or `_ADDR`.
fn is_about_a_port(name: &str) -> bool {
    name.split_once("_PORT_").is_some_and(|(_, port)| {
        let (number, protocol) = port.split_once('_').unwrap_or((port, ""));
        number.parse::<u16>().is_ok()
            && ["TCP", "UDP", "SCTP"]
                .iter()
                .any(|known| protocol.starts_with(known))
    })
}

/// `DM_NODE_NAME=/web/dm-node` and `DM_NODE_ENV_PATH`.
fn is_about_a_link(name: &str, value: &str) -> bool {
    (name.ends_with("_NAME") && value.starts_with('/')) || name.contains("_ENV_")
}

/// A setting from text: a list, a number, yes or no, or the text itself.
pub(crate) fn parsed(setting: String, text: &str) -> Override {
    let value = if LISTS.contains(&setting.as_str()) || setting.starts_with(GRANTED) {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Value::from(items.map(Value::from).collect::<Vec<_>>())
    } else if SWITCHES.contains(&setting.as_str())
        && let Some(switch) = switch(text)
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

/// `true`, and what else the older node takes for it: `True`, `yes`, `on`, `1`.
fn switch(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Whether a setting is a number; a name such as `node_id` may consist of
/// digits and is a text all the same.
fn is_number(setting: &str) -> bool {
    const ENDINGS: [&str; 19] = [
        "port",
        "readers",
        "per_second",
        "per_sec",
        "burst",
        "_bytes",
        "_secs",
        "_days",
        "_factor",
        "_percent",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(variables: &[(&str, &str)]) -> Vec<String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        settings_in(variables.collect())
            .into_iter()
            .map(|(_, (setting, _))| setting)
            .collect()
    }

    #[test]
    fn what_is_empty_is_not_set() {
        assert_eq!(
            names(&[("DATA_DIR", ""), ("DM_DATA_DIR", ""), ("NODE_ID", "a")]),
            ["node_id"]
        );
    }

    #[test]
    fn the_variables_that_kubernetes_makes_for_services_are_passed_over() {
        for (name, value) in [
            ("DM_NODE_PORT", "tcp://10.0.0.1:8080"),
            ("DM_NODE_SERVICE_HOST", "10.0.0.1"),
            ("DM_NODE_SERVICE_PORT", "8080"),
            ("DM_NODE_SERVICE_PORT_HTTP", "8080"),
            ("DM_NODE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("DM_NODE_PORT_8080_TCP_PROTO", "tcp"),
            ("DM_NODE_PORT_8080_TCP_PORT", "8080"),
            ("DM_NODE_PORT_9000_UDP_ADDR", "10.0.0.1"),
            ("DM_NODE_NAME", "/web/dm-node"),
            ("DM_NODE_ENV_PATH", "/usr/bin"),
            // Services with the names of settings.
            ("DM_P2P_PORT", "udp://10.0.0.1:9000"),
            ("EXTERNAL_API_PORT", "tcp://10.0.0.1:8081"),
        ] {
            assert_eq!(names(&[(name, value)]), [""; 0], "{name}");
        }
        assert_eq!(names(&[("DM_P2P_PORT", "9001")]), ["p2p_port"]);
        assert_eq!(names(&[("DM_NODE_POTR", "1")]), ["node_potr"]);
        assert_eq!(
            names(&[("DM_EXTERNAL_API__PORT", "tcp://x")]),
            ["external_api.port"]
        );
    }

    #[test]
    fn yes_and_no_are_read_as_the_older_node_reads_them() {
        for (text, expected) in [("True", true), ("yes", true), ("ON", true), ("1", true)] {
            let (_, value) = parsed("network.upnp".to_owned(), text);
            assert_eq!(value.to_bool(), Some(expected), "{text}");
        }
        for text in ["False", "no", "off", "0"] {
            let (_, value) = parsed("network.upnp".to_owned(), text);
            assert_eq!(value.to_bool(), Some(false), "{text}");
        }
        let (_, value) = parsed("network.upnp".to_owned(), "maybe");
        assert_eq!(value.to_bool(), None);
    }
}
