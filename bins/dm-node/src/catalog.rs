//! Opens the catalog where the settings say that it is: in its file, or in a PostgreSQL database.

use std::path::PathBuf;

use anyhow::{Context, bail};
use dm_core::{Address, config::NodeConfig};
use dm_storage::SqliteCatalog;

/// For the process that runs the node of this account.
///
/// # Errors
/// Where the catalog cannot be opened, another process runs the node with it, or the data
/// directory belongs to another one.
pub(crate) async fn open_for_node(config: &NodeConfig, account: Address) -> anyhow::Result<SqliteCatalog> {
    open(config, Some(account)).await
}

/// For a command beside the node, or without it.
///
/// # Errors
/// Where there is no catalog: a typing error must not make a new one; and where it cannot be
/// opened.
pub(crate) async fn open_existing(config: &NodeConfig) -> anyhow::Result<SqliteCatalog> {
    let file = match config.catalog_url {
        Some(_) => process_file(config),
        None => config.catalog_file(),
    };
    if !file.is_file() {
        bail!(
            "{} is missing: there is no node in {}",
            file.display(),
            config.data_dir.display()
        );
    }
    open(config, None).await
}

async fn open(config: &NodeConfig, account: Option<Address>) -> anyhow::Result<SqliteCatalog> {
    let (file, process) = (config.catalog_file(), process_file(config));
    let Some(url) = &config.catalog_url else {
        if process.exists() {
            bail!(
                "the catalog of the node in {} is in PostgreSQL: set catalog_url",
                config.data_dir.display()
            );
        }
        return Ok(SqliteCatalog::open(file).await?);
    };
    if file.exists() {
        bail!(
            "catalog_url is set, and {} holds the catalog of this node, which cannot be moved yet",
            file.display()
        );
    }
    open_in_database(config, url.expose(), account).await
}

#[cfg(feature = "postgres")]
async fn open_in_database(
    config: &NodeConfig,
    url: &str,
    account: Option<Address>,
) -> anyhow::Result<SqliteCatalog> {
    let mut options = dm_storage::PostgresOptions::at(url)?.readers(config.catalog.readers);
    if config.catalog.through_pooler {
        options = options.through_pooler();
    }
    if let Some(file) = &config.catalog.password_file {
        options = options
            .password_file(file)
            .await
            .context("catalog.password_file")?;
    }
    if let Some(account) = account {
        options = options.for_node(account, process_file(config));
    }
    let place = options.place();
    SqliteCatalog::open_postgres(options)
        .await
        .with_context(|| format!("cannot open the catalog at {place}"))
}

#[cfg(not(feature = "postgres"))]
async fn open_in_database(
    _config: &NodeConfig,
    _url: &str,
    _account: Option<Address>,
) -> anyhow::Result<SqliteCatalog> {
    bail!("catalog_url is set, and this binary was built without the feature `postgres`")
}

/// Tells that the catalog is in a database, and which process was the last one to run the
/// node with it.
fn process_file(config: &NodeConfig) -> PathBuf {
    config.data_dir.join("catalog-process")
}
