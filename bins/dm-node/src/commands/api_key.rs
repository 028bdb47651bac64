//! `dm-node api-key`: manages API keys in the data directory.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use dm_core::{
    Address,
    api_key::{ApiKeyRecord, Rights},
    clock::now_ms,
    contact::Party,
    ports::{ApiKeys, ContactBook, NewApiKey, NewApiKeyRequest},
};
use dm_keys::ApiKeyManager;
use dm_storage::SqliteCatalog;
use serde_json::json;

use crate::{
    catalog,
    cli::ApiKeyCommand,
    duration, home,
    output::{self, cell},
    times,
};

pub(crate) async fn run(command: ApiKeyCommand, as_json: bool) -> anyhow::Result<()> {
    match command {
        ApiKeyCommand::Create(args) => {
            let mut rights = Rights {
                scopes: args.scopes.into_iter().collect(),
                routes: args.routes.into_iter().collect(),
                bytes_budget: args.bytes_budget,
                ..Rights::default()
            };
            dm_api::check_routes(&rights, &dm_api::served_routes())
                .map_err(|fault| anyhow!("--route {fault}"))?;
            let expires_at = args.expires.as_deref().map(duration::from_now).transpose()?;
            let catalog = catalog::open_existing(&home::load_config(&args.node)?).await?;
            for party in args.recipients {
                rights.recipients.insert(address_of(&catalog, party).await?);
            }
            let key = create(&catalog, &args.name, rights, expires_at).await?;
            let mut document = serde_json::to_value(&key.record)?;
            document["key"] = json!(key.key);
            output::print(as_json, &document, |document| cell(&document["key"]))?;
            close(catalog).await
        }
        ApiKeyCommand::List(node) => {
            let catalog = catalog::open_existing(&home::load_config(&node)?).await?;
            let keys = manager(&catalog).list().await?;
            output::print(as_json, &json!({"api_keys": keys}), |_| describe(&keys))?;
            close(catalog).await
        }
        ApiKeyCommand::Revoke { id, node } => {
            let catalog = catalog::open_existing(&home::load_config(&node)?).await?;
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

/// The address of a party in the catalog of a node that may not run.
async fn address_of(catalog: &SqliteCatalog, party: Party) -> anyhow::Result<Address> {
    match party {
        Party::Address(address) => Ok(address),
        Party::Contact(name) => match catalog.contact(&name).await? {
            Some(contact) => Ok(contact.address),
            None => bail!("--recipient {name}: there is no contact of this name"),
        },
    }
}

/// Makes an API key.
pub(crate) async fn create(
    catalog: &SqliteCatalog,
    name: &str,
    rights: Rights,
    expires_at: Option<u64>,
) -> anyhow::Result<NewApiKey> {
    let request = NewApiKeyRequest {
        name: name.to_owned(),
        rights: Arc::new(rights),
        expires_at,
    };
    Ok(manager(catalog).create(request).await?)
}

fn manager(catalog: &SqliteCatalog) -> ApiKeyManager {
    ApiKeyManager::new(Arc::new(catalog.clone()))
}

async fn close(catalog: SqliteCatalog) -> anyhow::Result<()> {
    Ok(catalog.close().await?)
}

fn describe(keys: &[ApiKeyRecord]) -> String {
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            vec![
                key.id.clone(),
                key.name.clone(),
                joined(&key.rights.scopes),
                state(key).to_owned(),
                time_or_never(key.expires_at),
                time_or_never(key.usage.last_used_at),
                bytes(key),
                narrowed_to(key),
            ]
        })
        .collect();
    let headings = [
        "ID",
        "NAME",
        "SCOPES",
        "STATE",
        "EXPIRES",
        "LAST USED",
        "BYTES",
        "ONLY FOR",
    ];
    output::table(&headings, &rows)
}

fn joined<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.join(",")
}

fn time_or_never(time: Option<u64>) -> String {
    time.map_or_else(|| "never".to_owned(), times::local)
}

/// Bytes that passed, of those that may.
fn bytes(key: &ApiKeyRecord) -> String {
    let used = key.usage.bytes_used;
    match key.rights.bytes_budget {
        Some(budget) => format!("{used} of {budget}"),
        None => used.to_string(),
    }
}

fn narrowed_to(key: &ApiKeyRecord) -> String {
    let routes = key.rights.routes.iter().map(ToString::to_string);
    joined(routes.chain(key.rights.recipients.iter().map(ToString::to_string)))
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
