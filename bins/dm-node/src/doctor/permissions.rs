//! Who may read and write the files of the node.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use dm_core::config::NodeConfig;

use super::Finding;
use crate::data_dir::CONFIG_FILE;

const CHECK: &str = "permissions";
/// Bits by which others than the owner may read or write a file.
const FILE_OF_OTHERS: u32 = 0o066;
/// Bits by which they may change a folder; its names are no secret.
const FOLDER_OF_OTHERS: u32 = 0o022;

/// A file or folder that only the node's user should read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Private {
    /// The setting that names it.
    setting: String,
    path: PathBuf,
}

pub(super) fn examine(config: &NodeConfig) -> Vec<Finding> {
    let mut findings = data_dir(&config.data_dir);
    findings.extend(private_files(config).iter().filter_map(judge));
    if findings.is_empty() {
        findings.push(Finding::good(CHECK, "the files of the node are its user's alone"));
    }
    findings
}

fn data_dir(dir: &Path) -> Vec<Finding> {
    if !dir.exists() {
        let found = format!("{} is not there yet", dir.display());
        let action = "make the node with `dm-node init`, or set data_dir to where it is";
        return vec![Finding::warning(CHECK, found, action)];
    }
    let probe = dir.join(format!(".dm-node-doctor-{}", std::process::id()));
    let written = fs::write(&probe, "").and_then(|()| fs::remove_file(&probe));
    let of_dir = Private {
        setting: "data_dir".to_owned(),
        path: dir.to_owned(),
    };
    let written = written.err().map(|error| {
        let found = format!("data_dir: {} cannot be written: {error}", dir.display());
        Finding::fault(CHECK, found, "run the node as the user that owns the directory")
    });
    written.into_iter().chain(judge(&of_dir)).collect()
}

fn private_files(config: &NodeConfig) -> Vec<Private> {
    let named = [
        ("private_key_file", config.private_key_file.as_ref()),
        (
            "key_master_password_file",
            config.key_master_password_file.as_ref(),
        ),
        ("catalog.password_file", config.catalog.password_file.as_ref()),
        (
            "storage.s3.credentials_file",
            config.storage.s3.credentials_file.as_ref(),
        ),
        ("network.swarm_key_file", config.network.swarm_key_file.as_ref()),
        (
            "internal_api.tls.key_file",
            config.internal_api.tls.key_file.as_ref(),
        ),
        (
            "external_api.tls.key_file",
            config.external_api.tls.key_file.as_ref(),
        ),
        (
            "dashboard_api.tls.key_file",
            config.dashboard_api.tls.key_file.as_ref(),
        ),
    ];
    let named = named
        .into_iter()
        .filter_map(|(setting, path)| Some((setting, path?.clone())));
    let kept = [dm_keys::KEY_FILE, dm_keys::KEYSTORE_FILE, CONFIG_FILE]
        .into_iter()
        .map(|name| ("data_dir", config.data_dir.join(name)))
        .filter(|(_, path)| path.exists());
    named
        .chain(kept)
        .map(|(setting, path)| Private {
            setting: setting.to_owned(),
            path,
        })
        .collect()
}

/// What is wrong with a file; nothing if nobody else may read it.
fn judge(private: &Private) -> Option<Finding> {
    let Private { setting, path } = private;
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) => {
            let found = format!("{setting}: {} cannot be read: {error}", path.display());
            return Some(Finding::fault(
                CHECK,
                found,
                "make the file, or correct the setting",
            ));
        }
    };
    if about.is_file() && fs::File::open(path).is_err() {
        let found = format!("{setting}: this user may not read {}", path.display());
        let action = "give the file to the user that runs the node";
        return Some(Finding::fault(CHECK, found, action));
    }
    let mode = about.mode() & 0o777;
    let (of_others, strict) = if about.is_dir() {
        (FOLDER_OF_OTHERS, "700")
    } else {
        (FILE_OF_OTHERS, "600")
    };
    (mode & of_others != 0).then(|| {
        let found = format!(
            "{setting}: others may read or write {} (mode {mode:o})",
            path.display()
        );
        Finding::warning(CHECK, found, format!("chmod {strict} {}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{super::Severity, *};

    fn with_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_that_others_may_read_and_files_that_are_missing_are_found() {
        let dir = tempfile::tempdir().unwrap();
        with_mode(dir.path(), 0o700);
        let key = dir.path().join("account.key");
        fs::write(&key, "secret").unwrap();
        with_mode(&key, 0o600);
        let mut config = NodeConfig {
            data_dir: dir.path().to_owned(),
            private_key_file: Some(key.clone()),
            ..NodeConfig::default()
        };
        let findings = examine(&config);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Good);

        with_mode(&key, 0o640);
        with_mode(dir.path(), 0o755);
        let findings = examine(&config);
        assert_eq!(
            findings.len(),
            1,
            "a folder that others only list is fine: {findings:?}"
        );
        assert_eq!(findings[0].severity, Severity::Warning);
        assert!(findings[0].found.contains("mode 640"), "{findings:?}");
        assert_eq!(findings[0].action, Some(format!("chmod 600 {}", key.display())));

        config.key_master_password_file = Some(dir.path().join("nothing"));
        let findings = examine(&config);
        let missing = findings.last().unwrap();
        assert_eq!(missing.severity, Severity::Fault);
        assert!(
            missing.found.starts_with("key_master_password_file: "),
            "{missing:?}"
        );
    }

    #[test]
    fn a_data_directory_that_is_not_there_is_found() {
        let findings = data_dir(Path::new("/nowhere/node"));
        assert_eq!(findings[0].severity, Severity::Warning);
    }
}
