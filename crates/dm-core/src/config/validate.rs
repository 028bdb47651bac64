//! Finds all faults of a configuration at once.

use std::fmt;

use super::{ApiConfig, InvalidObjectsUrl, NodeConfig, ObjectsUrl, S3Config, TlsConfig, is_address};
use crate::{
    node_attestation::{InvalidNodeSignature, NodeSignature},
    plugin::is_plugin_name,
};

/// Most seconds that a resumable upload may be kept: a year.
const LONGEST_UPLOAD_SECS: u64 = 365 * 24 * 60 * 60;

/// Most seconds for which a node that is told to stop serves on: an hour.
const LONGEST_DRAIN_SECS: u64 = 3600;

/// A setting that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// Name of the setting, nested names joined by dots.
    pub field: String,
    /// Why it cannot be used.
    pub reason: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// Collects faults.
#[derive(Default)]
struct Faults(Vec<ConfigFault>);

impl Faults {
    fn require(&mut self, holds: bool, field: impl Into<String>, reason: impl Into<String>) {
        if !holds {
            self.0.push(ConfigFault {
                field: field.into(),
                reason: reason.into(),
            });
        }
    }
}

pub(super) fn faults(config: &NodeConfig) -> Vec<ConfigFault> {
    let mut faults = Faults::default();
    check_chain(config, &mut faults);
    check_transactions(config, &mut faults);
    check_node(config, &mut faults);
    check_api("internal_api", &config.internal_api, &mut faults);
    check_api("external_api", &config.external_api, &mut faults);
    check_api("dashboard_api", &config.dashboard_api, &mut faults);
    check_uploads(config, &mut faults);
    check_network(config, &mut faults);
    check_catalog(config, &mut faults);
    check_storage(config, &mut faults);
    check_compliance(config, &mut faults);
    check_plugins(config, &mut faults);
    check_inbox(config, &mut faults);
    faults.0.extend(config.sign_in.faults(config.dashboard_api.host));
    if let Err(error) = config.metrics.address() {
        faults.require(false, "metrics.listen", error.to_string());
    }
    if let Err(error) = config.traces.collector() {
        faults.require(false, "traces.otlp_url", error.to_string());
    }
    faults.require(
        config.traces.sample_percent <= 100,
        "traces.sample_percent",
        "must be between 0 and 100",
    );
    for (kept, field) in [
        (config.events.keep_secs, "events.keep_secs"),
        (config.events.max_kept, "events.max_kept"),
    ] {
        faults.require(kept > 0, field, "must be at least 1");
    }
    faults.require(
        (1..=86_400).contains(&config.api_keys.longest_wait_secs),
        "api_keys.longest_wait_secs",
        "must be between 1 and 86400",
    );
    faults.0
}

fn check_inbox(config: &NodeConfig, faults: &mut Faults) {
    let fetch = &config.inbox.fetch;
    if let Err(reason) = fetch.senders() {
        faults.require(false, "inbox.fetch.from", reason.to_string());
    }
    if let Err(error) = fetch.labels() {
        faults.require(false, "inbox.fetch.labels", error.reason);
    }
}

fn check_chain(config: &NodeConfig, faults: &mut Faults) {
    faults.require(
        config.blockchain_type == "evm",
        "blockchain_type",
        "must be `evm`",
    );
    faults.require(
        config.uses_devnet() || config.blockchain_urls().into_iter().all(is_endpoint),
        "blockchain_url",
        "must be an http, https, ws or wss URL, several of them separated by commas, or `devnet`",
    );
    faults.require(
        is_address(&config.native_token_address),
        "native_token_address",
        "must be a valid Ethereum address (0x + 40 hex chars)",
    );
    if let Some(key) = &config.private_key {
        let digits = key.expose().trim();
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        faults.require(
            digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()),
            "private_key",
            "must be 64 hexadecimal digits",
        );
    }
}

fn is_endpoint(url: &str) -> bool {
    ["http://", "https://", "ws://", "wss://"]
        .iter()
        .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

fn check_transactions(config: &NodeConfig, faults: &mut Faults) {
    for (field, value) in [
        ("chain.max_fee_gwei", config.chain.max_fee_gwei),
        ("chain.replace_after_secs", config.chain.replace_after_secs),
        ("chain.max_in_flight", config.chain.max_in_flight as u64),
        ("payments.patience_secs", config.payments.patience_secs),
        ("payments.refund_after_secs", config.payments.refund_after_secs),
    ] {
        faults.require(value > 0, field, "must be at least 1");
    }
}

fn check_node(config: &NodeConfig, faults: &mut Faults) {
    let length = config.node_id.chars().count();
    faults.require(
        (1..=100).contains(&length),
        "node_id",
        "must have 1 to 100 characters",
    );
    faults.require(
        config.drain_secs <= LONGEST_DRAIN_SECS,
        "drain_secs",
        "must be at most 3600",
    );
    if let Some(setting) = &config.node_signature {
        let fault = setting.parse::<NodeSignature>().err();
        faults.require(
            fault.is_none(),
            "node_signature",
            InvalidNodeSignature.to_string(),
        );
    }
    faults.require(
        !config.data_dir.as_os_str().is_empty(),
        "data_dir",
        "must not be empty",
    );
    if let Some(password) = &config.key_master_password {
        faults.require(
            !password.expose().is_empty(),
            "key_master_password",
            "must not be empty",
        );
    }
}

fn check_api(name: &str, api: &ApiConfig, faults: &mut Faults) {
    let limit = api.rate_limit;
    faults.require(
        limit.per_second > 0,
        format!("{name}.rate_limit.per_second"),
        "must be at least 1",
    );
    faults.require(
        limit.burst > 0,
        format!("{name}.rate_limit.burst"),
        "must be at least 1",
    );
    faults.require(
        api.max_json_bytes >= 1024,
        format!("{name}.max_json_bytes"),
        "must be at least 1024",
    );
    faults.require(
        api.request_timeout_secs > 0,
        format!("{name}.request_timeout_secs"),
        "must be at least 1",
    );
    faults.require(
        api.idle_timeout_secs > 0,
        format!("{name}.idle_timeout_secs"),
        "must be at least 1",
    );
    check_tls(&format!("{name}.tls"), &api.tls, faults);
}

fn check_tls(name: &str, tls: &TlsConfig, faults: &mut Faults) {
    faults.require(
        tls.is_on() || tls.key_file.is_none(),
        format!("{name}.cert_file"),
        "must be given together with key_file",
    );
    faults.require(
        !tls.is_on() || tls.key_file.is_some(),
        format!("{name}.key_file"),
        "must be given together with cert_file",
    );
    faults.require(
        tls.is_on() || tls.client_ca_file.is_none(),
        format!("{name}.client_ca_file"),
        "needs cert_file and key_file",
    );
    faults.require(
        tls.client_ca_file.is_some() || tls.client_keys.is_empty(),
        format!("{name}.client_keys"),
        "needs client_ca_file: only certificates that it has signed are accepted",
    );
    if let Err(error) = tls.client_keys() {
        faults.require(false, format!("{name}.client_keys"), error.to_string());
    }
}

fn check_uploads(config: &NodeConfig, faults: &mut Faults) {
    let uploads = &config.uploads;
    faults.require(
        uploads.max_at_once > 0,
        "uploads.max_at_once",
        "must be at least 1",
    );
    faults.require(
        (1..=uploads.max_at_once).contains(&uploads.max_at_once_per_key),
        "uploads.max_at_once_per_key",
        "must be from 1 to uploads.max_at_once",
    );
    faults.require(
        uploads.max_unfinished > 0,
        "uploads.max_unfinished",
        "must be at least 1",
    );
    faults.require(
        (1..=uploads.max_unfinished).contains(&uploads.max_unfinished_per_key),
        "uploads.max_unfinished_per_key",
        "must be from 1 to uploads.max_unfinished",
    );
    faults.require(
        uploads.max_unfinished_bytes > 0,
        "uploads.max_unfinished_bytes",
        "must be at least 1",
    );
    faults.require(
        (1..=uploads.max_unfinished_bytes).contains(&uploads.max_unfinished_bytes_per_key),
        "uploads.max_unfinished_bytes_per_key",
        "must be from 1 to uploads.max_unfinished_bytes",
    );
    faults.require(
        (60..=LONGEST_UPLOAD_SECS).contains(&uploads.expire_after_secs),
        "uploads.expire_after_secs",
        "must be from 60 seconds to a year",
    );
}

fn check_network(config: &NodeConfig, faults: &mut Faults) {
    let network = &config.network;
    faults.require(config.p2p_port > 0, "p2p_port", "must be between 1 and 65535");
    faults.require(
        network.replication_factor <= 20,
        "network.replication_factor",
        "must be at most 20, the size of a Kademlia bucket",
    );
    faults.require(
        network.max_connections > 1,
        "network.max_connections",
        "must be at least 2: one incoming and one outgoing connection",
    );
    faults.require(
        network.listen || !network.relay_server,
        "network.relay_server",
        "a relay has to listen: network.listen is false",
    );
    for (field, number) in [
        (
            "network.max_connections_per_peer",
            network.max_connections_per_peer.into(),
        ),
        (
            "network.max_connections_per_address",
            network.max_connections_per_address.into(),
        ),
        (
            "network.max_connections_per_network",
            network.max_connections_per_network.into(),
        ),
        (
            "network.address_connections_per_sec",
            network.address_connections_per_sec.into(),
        ),
        ("network.request_timeout_secs", network.request_timeout_secs),
        ("network.retry_interval_secs", network.retry_interval_secs),
        ("network.announce_interval_secs", network.announce_interval_secs),
        (
            "network.health_check_interval_secs",
            network.health_check_interval_secs,
        ),
        (
            "network.peer_exchange_interval_secs",
            network.peer_exchange_interval_secs,
        ),
        ("network.forget_peers_after_secs", network.forget_peers_after_secs),
        ("network.challenge_interval_secs", network.challenge_interval_secs),
        ("network.repair_bytes_per_sec", network.repair_bytes_per_sec),
        ("network.challenges_per_sec", network.challenges_per_sec),
        ("network.relay_max_circuits", network.relay_max_circuits.into()),
        ("network.relay_circuit_bytes", network.relay_circuit_bytes),
        (
            "network.peer_requests_per_sec",
            network.peer_requests_per_sec.into(),
        ),
        ("network.peer_requests_burst", network.peer_requests_burst.into()),
        ("network.ban_secs", network.ban_secs),
    ] {
        faults.require(number > 0, field, "must be at least 1");
    }
}

fn check_catalog(config: &NodeConfig, faults: &mut Faults) {
    let Some(url) = &config.catalog_url else {
        return;
    };
    let is_postgres = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.expose().starts_with(scheme));
    faults.require(
        is_postgres,
        "catalog_url",
        "must be postgres://USER@HOST:PORT/DATABASE (its value is not shown)",
    );
    faults.require(
        config.sqlite_db_path.is_none(),
        "sqlite_db_path",
        "is the catalog's file, and catalog_url its database: give one of them",
    );
    faults.require(
        (1..=1000).contains(&config.catalog.readers),
        "catalog.readers",
        "must be between 1 and 1000",
    );
}

fn check_storage(config: &NodeConfig, faults: &mut Faults) {
    let storage = &config.storage;
    for (field, value) in [
        ("storage.max_own_bytes", storage.max_own_bytes),
        ("storage.scrub_bytes_per_sec", storage.scrub_bytes_per_sec),
        ("storage.scrub_interval_secs", storage.scrub_interval_secs),
    ] {
        faults.require(value > 0, field, "must be at least 1");
    }
    if let Some(url) = &storage.objects_url {
        let fault = url.parse::<ObjectsUrl>().err();
        faults.require(
            fault.is_none(),
            "storage.objects_url",
            InvalidObjectsUrl.to_string(),
        );
        check_s3(&storage.s3, faults);
    }
}

fn check_s3(s3: &S3Config, faults: &mut Faults) {
    if let Some(endpoint) = &s3.endpoint {
        let is_plain = endpoint.starts_with("http://");
        faults.require(
            is_plain || endpoint.starts_with("https://"),
            "storage.s3.endpoint",
            "must be an http or https URL",
        );
        faults.require(
            !is_plain || s3.allow_http,
            "storage.s3.endpoint",
            "is reached without TLS only where storage.s3.allow_http is true",
        );
    }
    let has_key = s3.access_key_id.is_some() && s3.secret_access_key.is_some();
    faults.require(
        s3.credentials_file.is_some() || has_key || s3.instance_metadata,
        "storage.s3.credentials_file",
        "there are no credentials: give this file, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or storage.s3.instance_metadata",
    );
    faults.require(
        (5 << 20..=64 << 20).contains(&s3.part_bytes),
        "storage.s3.part_bytes",
        "must be between 5242880 and 67108864",
    );
    faults.require(
        (1..=300).contains(&s3.retry_timeout_secs),
        "storage.s3.retry_timeout_secs",
        "must be between 1 and 300",
    );
}

fn check_compliance(config: &NodeConfig, faults: &mut Faults) {
    let compliance = &config.compliance;
    faults.require(
        compliance.max_batch > 0,
        "compliance.max_batch",
        "must be at least 1",
    );
    faults.require(
        compliance.max_waiting > 0,
        "compliance.max_waiting",
        "must be at least 1",
    );
    faults.require(
        compliance.watch_interval_secs > 0,
        "compliance.watch_interval_secs",
        "must be at least 1",
    );
}

fn check_plugins(config: &NodeConfig, faults: &mut Faults) {
    let plugins = &config.plugins;
    let required = plugins.required.iter().map(|name| ("plugins.required", name));
    let granted = plugins.granted.keys().map(|name| ("plugins.granted", name));
    for (field, name) in required.chain(granted) {
        faults.require(
            is_plugin_name(name),
            field,
            format!("`{name}` is no name of a plugin (1 to 64 of a-z, 0-9 and -)"),
        );
    }
    for (field, value) in [
        ("plugins.max_memory_bytes", plugins.max_memory_bytes),
        ("plugins.max_call_ms", plugins.max_call_ms),
        ("plugins.max_store_bytes", plugins.max_store_bytes),
    ] {
        faults.require(value > 0, field, "must be at least 1");
    }
}
