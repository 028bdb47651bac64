//! `dm-node key`: manages the node's own data keys.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dm_core::{config::NodeConfig, ports::KeyRing, secret::SecretString};
use dm_keys::ImportedVersion;
use serde_json::json;

use crate::{cli::KeyCommand, home, output};

pub(crate) async fn run(command: KeyCommand, as_json: bool) -> anyhow::Result<()> {
    match command {
        KeyCommand::List(node) => {
            let keys = home::open_keys(&home::load_config(&node)?).await?;
            let versions = keys.manager().versions();
            let rows: Vec<Vec<String>> = versions
                .iter()
                .map(|version| vec![version.version.to_string(), version.created_at.to_string()])
                .collect();
            output::print(as_json, &json!({"versions": versions}), |_| {
                output::table(&["VERSION", "CREATED (MS)"], &rows)
            })
        }
        KeyCommand::Rotate(node) => {
            let keys = home::open_keys(&home::load_config(&node)?).await?;
            let version = keys.manager().rotate()?;
            output::print(as_json, &json!({"version": version}), |_| {
                format!("Version {version} is in use from the node's next start.")
            })
        }
        KeyCommand::Import {
            file,
            password_file,
            node,
        } => {
            let imported = import(&home::load_config(&node)?, file, password_file.as_deref()).await?;
            let versions: Vec<_> = imported
                .iter()
                .map(|key| json!({"older": key.legacy_version, "version": key.version}))
                .collect();
            output::print(as_json, &json!({"imported": versions}), |_| {
                format!(
                    "Imported {} key versions; they can open what they have wrapped.",
                    imported.len()
                )
            })
        }
    }
}

/// Takes the older node's keys over; its password is this node's own where no
/// other is given.
async fn import(
    config: &NodeConfig,
    file: PathBuf,
    password_file: Option<&Path>,
) -> anyhow::Result<Vec<ImportedVersion>> {
    let keys = home::open_keys(config).await?;
    let password = match password_file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            SecretString::new(text.trim_end_matches(['\r', '\n']))
        }
        None => config.key_master_password.clone().unwrap_or_default(),
    };
    let imported =
        tokio::task::spawn_blocking(move || keys.manager().import_legacy(&file, &password)).await??;
    Ok(imported)
}
