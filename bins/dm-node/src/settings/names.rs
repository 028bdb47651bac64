//! The names of all settings, and what is special about some.

use figment::value::Dict;

use super::{DEFAULT_FILE, environment::variable_name};

/// Settings that the default file does not show as lines of their own.
const UNLISTED: [&str; 6] = [
    "key_master_password",
    "private_key",
    "sign_in.client_secret",
    "storage.s3.access_key_id",
    "storage.s3.secret_access_key",
    "storage.s3.session_token",
];

/// Settings whose values no message may show: secrets, and URLs that may hold one.
const SECRETS: [&str; 8] = [
    "blockchain_url",
    "catalog_url",
    "key_master_password",
    "private_key",
    "sign_in.client_secret",
    "storage.s3.secret_access_key",
    "storage.s3.session_token",
    "traces.otlp_url",
];

/// Settings that are gone, and why. Configurations that have them are read all the same.
const REMOVED: [(&str, &str); 1] = [("contracts_dir", "the contract is part of the program")];

/// Settings that the default file shows with an example, not with their default, which is none.
pub(super) const EXAMPLES: [&str; 26] = [
    "catalog.password_file",
    "catalog_url",
    "dashboard_api.tls.cert_file",
    "dashboard_api.tls.client_ca_file",
    "dashboard_api.tls.key_file",
    "db_path",
    "external_api.tls.cert_file",
    "external_api.tls.client_ca_file",
    "external_api.tls.key_file",
    "internal_api.tls.cert_file",
    "internal_api.tls.client_ca_file",
    "internal_api.tls.key_file",
    "key_master_password_file",
    "network.swarm_key_file",
    "node_signature",
    "plugin_dir",
    "private_key_file",
    "sign_in.audience",
    "sign_in.client_id",
    "sign_in.client_secret_file",
    "sign_in.console_url",
    "sign_in.issuer",
    "sqlite_db_path",
    "storage.objects_url",
    "storage.s3.credentials_file",
    "storage.s3.endpoint",
];

/// Whether the setting at this path is a secret, or a part of one.
pub(super) fn is_secret(path: &[String]) -> bool {
    let name = path.join(".");
    SECRETS.iter().any(|secret| {
        name.strip_prefix(secret)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Takes out the settings that are gone, and says of each what to do, as a sentence without a
/// full stop.
pub(super) fn take_removed(settings: &mut Dict) -> Vec<String> {
    REMOVED
        .into_iter()
        .filter(|(name, _)| settings.remove(*name).is_some())
        .map(|(name, reason)| format!("{name} is no setting any more, because {reason}: take it out"))
        .collect()
}

/// A setting in the default file: its dotted name, and its default as TOML.
pub(super) fn shown_in_default_file() -> Vec<(String, &'static str)> {
    let mut section = String::new();
    let mut settings = Vec::new();
    for line in DEFAULT_FILE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        }
        let setting = line.strip_prefix("# ").and_then(|text| text.split_once(" = "));
        if let Some((name, value)) = setting.filter(|(name, _)| is_name(name)) {
            settings.push((format!("{section}{name}"), value));
        }
    }
    settings
}

/// Whether a comment that goes on with ` = ` is a setting that was commented out.
fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Why there is no setting of this name, with the one that may be meant.
pub(super) fn unknown(name: &str) -> String {
    let none = "there is no such setting";
    match nearest(name) {
        Some(meant) => format!(
            "{none}; did you mean {meant} (in the environment {})?",
            variable_name(&meant)
        ),
        None => none.to_owned(),
    }
}

/// The setting or section whose name is most like this one, if it is like it at all.
fn nearest(name: &str) -> Option<String> {
    let listed = shown_in_default_file().into_iter().map(|(name, _)| name);
    let names: Vec<String> = listed.chain(UNLISTED.map(str::to_owned)).collect();
    let sections = names
        .iter()
        .filter_map(|name| Some(name.rsplit_once('.')?.0.to_owned()));
    let flat = |name: &str| name.replace('.', "_");
    let wanted = flat(name);
    let (distance, meant) = sections
        .chain(names.iter().cloned())
        .map(|known| (distance(&wanted, &flat(&known)), known))
        .min()?;
    (distance <= (wanted.len() / 3).clamp(1, 4)).then_some(meant)
}

/// Letters to insert, remove or replace to get from one text to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_almost_right_is_answered_with_the_right_one() {
        for (wrong, right) in [
            ("external_api_port", "external_api.port"),
            ("external_api.prot", "external_api.port"),
            ("netwrok", "network"),
            ("network.replication_facto", "network.replication_factor"),
            ("key_masterpassword", "key_master_password"),
            ("p2pport", "p2p_port"),
        ] {
            assert_eq!(nearest(wrong).as_deref(), Some(right), "{wrong}");
        }
        for wrong in ["no_such_setting", "x", ""] {
            assert_eq!(nearest(wrong), None, "{wrong}");
        }
        assert!(unknown("external_api_port").contains("DM_EXTERNAL_API__PORT"));
    }

    #[test]
    fn distances_count_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
