//! `dm-node key change-password`.

use dm_core::{config::NodeConfig, secret::SecretString};
use serde_json::json;

use super::lock;
use crate::{cli::KeyPlace, home, output, secret_input::secret};

/// Where the new password comes from.
const NEW_PASSWORD: &str = "NEW_KEY_MASTER_PASSWORD";
/// Where the present one comes from.
const OLD_PASSWORD: &str = "KEY_MASTER_PASSWORD";

pub(super) async fn change(place: &KeyPlace, as_json: bool) -> anyhow::Result<()> {
    let config = home::load_config(&place.node)?;
    let old = match &config.key_master_password {
        Some(password) => password.clone(),
        None => secret(OLD_PASSWORD, "Present master password")?,
    };
    let new = secret(NEW_PASSWORD, "New master password")?;
    match place.client()? {
        Some(client) => {
            let passwords = json!({"old_password": old.expose(), "new_password": new.expose()});
            client.post("/keys/password", &passwords).await?;
        }
        None => change_stored(config, old, new).await?,
    }
    output::print(as_json, &json!({"success": true}), |_| {
        "The new password opens the node's keys; give it to the node at its next start.".to_owned()
    })
}

async fn change_stored(config: NodeConfig, old: SecretString, new: SecretString) -> anyhow::Result<()> {
    let _lock = lock(&config)?;
    let config = NodeConfig {
        key_master_password: Some(old.clone()),
        ..config
    };
    let keys = home::open_keys(&config).await?;
    tokio::task::spawn_blocking(move || keys.change_password(&old, &new)).await??;
    Ok(())
}
