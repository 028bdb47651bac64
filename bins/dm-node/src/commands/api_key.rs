//! `dm-node api-key`: manages API keys in the data directory.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, bail};
use dm_core::{
    api_key::{ApiKeyRecord, Scope},
    clock::now_ms,
    config::NodeConfig,
    ports::{ApiKeys, NewApiKey, NewApiKeyRequest},
};
use dm_keys::ApiKeyManager;
use dm_storage::SqliteCatalog;
use serde_json::{Value, json};

use crate::{
    cli::ApiKeyCommand,
    duration, home,
    output::{self, cell},
};

pub(crate) async fn run(command: ApiKeyCommand, as_json: bool) -> anyhow::Result<()> {
    match command {
        ApiKeyCommand::Create {
            name,
            scopes,
            expires,
            node,
        } => {
            let catalog = open_catalog(&home::load_config(&node)?).await?;
            let expires_at = expires.as_deref().map(duration::from_now).transpose()?;
            let key = create(&catalog, &name, parse_scopes(&scopes)?, expires_at).await?;
            let document = json!({"id": key.record.id, "key": key.key, "scopes": key.record.scopes});
            output::print(as_json, &document, |document| cell(&document["key"]))?;
            close(catalog).await
        }
        ApiKeyCommand::List(node) => {
            let catalog = open_catalog(&home::load_config(&node)?).await?;
            let keys = manager(&catalog).list().await?;
            output::print(as_json, &json!({"api_keys": keys}), |_| describe(&keys))?;
            close(catalog).await
        }
        ApiKeyCommand::Revoke { id, node } => {
            let catalog = open_catalog(&home::load_config(&node)?).await?;
            if !manager(&catalog).revoke(&id).await? {
                bail!("there is no API key {id}");
            }
            output::print(as_json, &json!({"revoked": id}), |_| {
                format!("The API key {id} is revoked.")
            })?;
            close(catalog).await
        }
    }
}

/// Makes an API key.
pub(crate) async fn create(
    catalog: &SqliteCatalog,
    name: &str,
    scopes: BTreeSet<Scope>,
    expires_at: Option<u64>,
) -> anyhow::Result<NewApiKey> {
    let request = NewApiKeyRequest {
        name: name.to_owned(),
        scopes,
        expires_at,
    };
    Ok(manager(catalog).create(request).await?)
}

fn manager(catalog: &SqliteCatalog) -> ApiKeyManager {
    ApiKeyManager::new(Arc::new(catalog.clone()))
}

/// The catalog of a node that exists; a typing error must not make a new one.
async fn open_catalog(config: &NodeConfig) -> anyhow::Result<SqliteCatalog> {
    let file = config.catalog_file();
    if !file.is_file() {
        bail!(
            "{} is missing: there is no node in {}",
            file.display(),
            config.data_dir.display()
        );
    }
    Ok(SqliteCatalog::open(&file).await?)
}

async fn close(catalog: SqliteCatalog) -> anyhow::Result<()> {
    Ok(catalog.close().await?)
}

fn parse_scopes(names: &[String]) -> anyhow::Result<BTreeSet<Scope>> {
    names
        .iter()
        .map(|name| name.parse::<Scope>().with_context(|| format!("`{name}`")))
        .collect()
}

fn describe(keys: &[ApiKeyRecord]) -> String {
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
            vec![
                key.id.clone(),
                key.name.clone(),
                scopes.join(","),
                state(key).to_owned(),
                key.expires_at
                    .map_or_else(|| "never".to_owned(), |time| cell(&Value::from(time))),
            ]
        })
        .collect();
    output::table(&["ID", "NAME", "SCOPES", "STATE", "EXPIRES"], &rows)
}

fn state(key: &ApiKeyRecord) -> &'static str {
    if key.revoked_at.is_some() {
        "revoked"
    } else if key.expires_at.is_some_and(|time| time <= now_ms()) {
        "expired"
    } else {
        "valid"
    }
}
