//! `dm-node key`: manages the node's own keys, in the data directory or with the running node.

use std::path::{Path, PathBuf};

use dm_core::{config::NodeConfig, ports::KeyRing};
use dm_keys::ImportedVersion;
use dm_services::{destroy_key_version, key_versions};
use serde_json::{Value, json};

use crate::{
    catalog,
    cli::{ConfirmArgs, KeyCommand, KeyPlace},
    client::NodeClient,
    confirm::confirm,
    data_dir_lock::DataDirLock,
    home,
    output::{self, cell},
    secret_input::secret_in_file,
    times,
};

mod password;

pub(crate) async fn run(command: KeyCommand, as_json: bool) -> anyhow::Result<()> {
    match command {
        KeyCommand::List(place) => list(&place, as_json).await,
        KeyCommand::Rotate { hpke: false, place } => rotate(&place, as_json).await,
        KeyCommand::Rotate { hpke: true, place } => rotate_grant_key(&place, as_json).await,
        KeyCommand::Destroy {
            version,
            confirm,
            place,
        } => destroy(version, &confirm, &place, as_json).await,
        KeyCommand::ChangePassword(place) => password::change(&place, as_json).await,
        KeyCommand::Import {
            file,
            password_file,
            node,
        } => {
            import(
                &home::load_config(&node)?,
                file,
                password_file.as_deref(),
                as_json,
            )
            .await
        }
    }
}

impl KeyPlace {
    /// The running node, where it is to do it.
    fn client(&self) -> anyhow::Result<Option<NodeClient>> {
        let api = self.api.as_ref();
        api.map(|api| self.trust.connect(api, &self.api_key)).transpose()
    }
}

/// Keeps the node from running while its keys are changed for good.
fn lock(config: &NodeConfig) -> anyhow::Result<DataDirLock> {
    DataDirLock::take(&config.data_dir).map_err(|error| error.context("give --api to have the node do it"))
}

async fn list(place: &KeyPlace, as_json: bool) -> anyhow::Result<()> {
    let keys = match place.client()? {
        Some(client) => client.get("/keys", &[]).await?,
        None => stored_keys(&home::load_config(&place.node)?).await?,
    };
    output::print(as_json, &keys, describe)
}

/// What the data directory holds, in the form in which the node answers.
async fn stored_keys(config: &NodeConfig) -> anyhow::Result<Value> {
    let keys = home::open_keys(config).await?;
    let catalog = catalog::open_existing(config).await?;
    let versions = key_versions(keys.manager().as_ref(), &catalog).await;
    catalog.close().await?;
    Ok(json!({"versions": versions?, "hpke_keys": keys.grants().keys()}))
}

fn describe(keys: &Value) -> String {
    let rows = |list: &str, columns: &[&str]| -> Vec<Vec<String>> {
        let lines = keys[list].as_array().map(Vec::as_slice).unwrap_or_default();
        lines
            .iter()
            .map(|line| {
                let shown = |column: &&str| match *column {
                    "created_at" => times::local_ms(&line["created_at"]),
                    column => cell(&line[column]),
                };
                columns.iter().map(shown).collect()
            })
            .collect()
    };
    let versions = output::table(
        &["VERSION", "CREATED", "WRAPS"],
        &rows("versions", &["version", "created_at", "wraps"]),
    );
    let hpke_keys = output::table(
        &["KEY FOR GRANTS", "CREATED"],
        &rows("hpke_keys", &["public_key", "created_at"]),
    );
    format!("{versions}\n\n{hpke_keys}")
}

async fn rotate(place: &KeyPlace, as_json: bool) -> anyhow::Result<()> {
    let (version, since) = match place.client()? {
        Some(client) => {
            let answer = client.post("/keys/rotate", &json!({})).await?;
            (answer["version"].clone(), "now")
        }
        None => {
            let keys = home::open_keys(&home::load_config(&place.node)?).await?;
            let rotated = tokio::task::spawn_blocking(move || keys.manager().rotate()).await?;
            (json!(rotated?), "the node's next start")
        }
    };
    output::print(as_json, &json!({"version": version}), |_| {
        format!("Version {version} is in use from {since} on.")
    })
}

async fn rotate_grant_key(place: &KeyPlace, as_json: bool) -> anyhow::Result<()> {
    let (public_key, since) = match place.client()? {
        Some(client) => {
            let answer = client.post("/keys/hpke/rotate", &json!({})).await?;
            (cell(&answer["public_key"]), "now")
        }
        None => {
            let keys = home::open_keys(&home::load_config(&place.node)?).await?;
            let rotated = tokio::task::spawn_blocking(move || keys.grants().rotate()).await?;
            (hex::encode(rotated?), "the node's next start")
        }
    };
    output::print(as_json, &json!({"public_key": public_key}), |_| {
        format!("Others are told of {public_key} from {since} on; older grants still open.")
    })
}

async fn destroy(version: u32, asked: &ConfirmArgs, place: &KeyPlace, as_json: bool) -> anyhow::Result<()> {
    confirm(
        asked,
        &format!("Destroy version {version} of the key-encryption key; a backup of the catalog may need it"),
    )?;
    match place.client()? {
        Some(client) => drop(client.delete(&format!("/keys/{version}")).await?),
        None => destroy_stored(version, &home::load_config(&place.node)?).await?,
    }
    output::print(as_json, &json!({"version": version}), |_| {
        format!("Version {version} is destroyed.")
    })
}

async fn destroy_stored(version: u32, config: &NodeConfig) -> anyhow::Result<()> {
    let _lock = lock(config)?;
    let keys = home::open_keys(config).await?;
    let catalog = catalog::open_existing(config).await?;
    let destroyed = destroy_key_version(keys.key_ring(), &catalog, version).await;
    catalog.close().await?;
    Ok(destroyed?)
}

/// Takes the older node's keys over; its password is this node's own where no
/// other is given.
async fn import(
    config: &NodeConfig,
    file: PathBuf,
    password_file: Option<&Path>,
    as_json: bool,
) -> anyhow::Result<()> {
    let keys = home::open_keys(config).await?;
    let password = match password_file {
        Some(path) => secret_in_file(path)?,
        None => config.key_master_password.clone().unwrap_or_default(),
    };
    let imported: Vec<ImportedVersion> =
        tokio::task::spawn_blocking(move || keys.manager().import_legacy(&file, &password)).await??;
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
