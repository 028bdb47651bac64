//! Texts that mean something else than they say: an empty one, and `~` in a path.

use std::path::{Path, PathBuf};

use dm_core::config::ConfigFault;
use figment::value::{Dict, Value};

use super::{dict, environment::variable};

/// Settings without a default, where an empty text means that they are not set.
const OPTIONAL: [&str; 23] = [
    "catalog.password_file",
    "catalog_url",
    "db_path",
    "key_master_password",
    "key_master_password_file",
    "network.swarm_key_file",
    "node_signature",
    "plugin_dir",
    "private_key",
    "private_key_file",
    "sign_in.audience",
    "sign_in.client_id",
    "sign_in.client_secret",
    "sign_in.client_secret_file",
    "sign_in.console_url",
    "sign_in.issuer",
    "sqlite_db_path",
    "storage.objects_url",
    "storage.s3.access_key_id",
    "storage.s3.credentials_file",
    "storage.s3.endpoint",
    "storage.s3.secret_access_key",
    "storage.s3.session_token",
];

/// Settings that are paths.
const PATHS: [&str; 10] = [
    "catalog.password_file",
    "data_dir",
    "db_path",
    "key_master_password_file",
    "network.swarm_key_file",
    "plugin_dir",
    "private_key_file",
    "sign_in.client_secret_file",
    "sqlite_db_path",
    "storage.s3.credentials_file",
];

/// Takes empty texts for what is not set.
pub(super) fn drop_empty(settings: &mut Dict) {
    for name in OPTIONAL {
        if dict::get(settings, name).and_then(Value::as_str) == Some("") {
            let path: Vec<&str> = name.split('.').collect();
            dict::remove(settings, &path);
        }
    }
}

/// Puts the user's home directory in place of `~`; what cannot be replaced is a fault.
pub(super) fn expand_paths(settings: &mut Dict) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    for name in PATHS {
        let Some(text) = dict::get(settings, name).and_then(Value::as_str) else {
            continue;
        };
        match expanded(Path::new(text)) {
            Ok(path) => {
                let path = path.to_string_lossy().into_owned();
                dict::insert(settings, name, Value::from(path));
            }
            Err(reason) => faults.push(ConfigFault {
                field: name.to_owned(),
                reason,
            }),
        }
    }
    faults
}

/// The path with the user's home directory in place of `~`, as a shell has it.
///
/// # Errors
/// Where `HOME` is not set, or another user's home directory is meant; the reason
/// completes "`<field>` …".
pub(crate) fn expanded(path: &Path) -> Result<PathBuf, String> {
    let Ok(below_home) = path.strip_prefix("~") else {
        return if path.as_os_str().as_encoded_bytes().starts_with(b"~") {
            Err(
                "begins with `~` and a name: give the whole path, or `./~` for a folder of that name"
                    .to_owned(),
            )
        } else {
            Ok(path.to_owned())
        };
    };
    let home = variable("HOME").ok_or("begins with `~`, and HOME is not set: give the whole path")?;
    Ok(Path::new(&home).join(below_home))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_directory() {
        let home = PathBuf::from(variable("HOME").unwrap_or_default());
        if home.as_os_str().is_empty() {
            return;
        }
        assert_eq!(expanded(Path::new("~")).unwrap(), home);
        assert_eq!(expanded(Path::new("~/a/b")).unwrap(), home.join("a/b"));
        for path in ["/a/~", "a~", "./~", ""] {
            assert_eq!(expanded(Path::new(path)).unwrap(), Path::new(path));
        }
        assert!(expanded(Path::new("~alice/a")).is_err());
    }

    #[test]
    fn an_empty_text_is_none() {
        let mut settings = Dict::new();
        dict::insert(&mut settings, "db_path", Value::from(""));
        dict::insert(&mut settings, "network.swarm_key_file", Value::from(""));
        dict::insert(&mut settings, "node_id", Value::from(""));
        drop_empty(&mut settings);
        assert!(dict::get(&settings, "db_path").is_none());
        assert!(dict::get(&settings, "network.swarm_key_file").is_none());
        assert!(dict::get(&settings, "node_id").is_some());
    }
}
