//! Opens the catalog where the settings say that it is: in its file, or in a PostgreSQL database.

use std::{path::PathBuf, sync::Arc};

#[cfg(feature = "postgres")]
use anyhow::Context;
use anyhow::bail;
use dm_core::{Address, config::NodeConfig, ports::SecretFiles};
use dm_keys::{KEY_FILE, SecretDirectory};
#[cfg(feature = "postgres")]
use dm_storage::{CatalogSecrets, PostgresOptions};
use dm_storage::{CatalogTables, SqliteCatalog};
#[cfg(feature = "postgres")]
use futures::FutureExt;

use crate::migration::mark;

#[cfg(not(feature = "postgres"))]
const WITHOUT_POSTGRES: &str = "catalog_url is set, and this binary was built without the feature `postgres`";

/// For the node of this account, which is made where it is not there.
///
/// # Errors
/// Where the catalog cannot be opened, belongs to another account, or is not where the data
/// directory has it.
pub(crate) async fn open_for_node(config: &NodeConfig, account: Address) -> anyhow::Result<SqliteCatalog> {
    open(config, Some(account)).await
}

/// For a command beside the node, or without it.
///
/// # Errors
/// Where there is no catalog: a typing error must not make a new one; where it cannot be opened,
/// and where the node was moved elsewhere.
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
    secret_files(config).await?;
    open(config, None).await
}

/// Where the node's files of secrets are: in its data directory, or with the catalog in its
/// database, for all instances.
///
/// # Errors
/// Where the data directory belongs to another place than the settings say, where the settings of
/// the database cannot be used, and where the node was moved elsewhere.
pub(crate) async fn secret_files(config: &NodeConfig) -> anyhow::Result<Arc<dyn SecretFiles>> {
    let files = secret_files_of_any(config).await?;
    mark::refuse(&files).await?;
    Ok(files)
}

/// As [`secret_files`], also of a node that is moved, or was.
///
/// # Errors
/// Those of [`secret_files`].
pub(crate) async fn secret_files_of_any(config: &NodeConfig) -> anyhow::Result<Arc<dyn SecretFiles>> {
    refuse_other_place(config)?;
    let directory = SecretDirectory::at(&config.data_dir);
    let Some(url) = &config.catalog_url else {
        return Ok(Arc::new(directory));
    };
    let file = directory.place(KEY_FILE);
    if file.exists() {
        bail!(
            "catalog_url is set, and {} holds the keys of this node: `dm-node migrate` moves a node",
            file.display()
        );
    }
    secrets_in_database(config, url.expose()).await
}

fn refuse_other_place(config: &NodeConfig) -> anyhow::Result<()> {
    let file = config.catalog_file();
    match config.catalog_url {
        None if process_file(config).exists() => bail!(
            "the catalog of the node in {} is in PostgreSQL: set catalog_url",
            config.data_dir.display()
        ),
        Some(_) if file.exists() => bail!(
            "catalog_url is set, and {} holds the catalog of this node: `dm-node migrate` moves a node",
            file.display()
        ),
        _ => Ok(()),
    }
}

/// The tables of the catalog, which nobody else has open.
///
/// # Errors
/// As [`open_for_node`].
pub(crate) async fn tables(config: &NodeConfig) -> anyhow::Result<CatalogTables> {
    refuse_other_place(config)?;
    match &config.catalog_url {
        None => Ok(CatalogTables::in_file(config.catalog_file()).await?),
        #[cfg(feature = "postgres")]
        Some(url) => Ok(CatalogTables::in_database(&database_options(config, url.expose()).await?).await?),
        #[cfg(not(feature = "postgres"))]
        Some(_) => bail!("{WITHOUT_POSTGRES}"),
    }
}

/// Where the catalog is, for people, without a password.
///
/// # Errors
/// Where the settings of the database cannot be used.
pub(crate) async fn place(config: &NodeConfig) -> anyhow::Result<String> {
    #[cfg(feature = "postgres")]
    if let Some(database) = database(config).await? {
        return Ok(database.place());
    }
    Ok(config.data_dir.display().to_string())
}

async fn open(config: &NodeConfig, account: Option<Address>) -> anyhow::Result<SqliteCatalog> {
    refuse_other_place(config)?;
    match &config.catalog_url {
        None => Ok(SqliteCatalog::open(config.catalog_file()).await?),
        Some(url) => open_in_database(config, url.expose(), account).await,
    }
}

#[cfg(feature = "postgres")]
async fn secrets_in_database(config: &NodeConfig, url: &str) -> anyhow::Result<Arc<dyn SecretFiles>> {
    let options = database_options(config, url).await?.readers(1);
    let place = options.place();
    let open = move || SqliteCatalog::open_postgres(options.clone()).boxed();
    Ok(Arc::new(CatalogSecrets::of_catalog(place, open)))
}

#[cfg(not(feature = "postgres"))]
async fn secrets_in_database(_config: &NodeConfig, _url: &str) -> anyhow::Result<Arc<dyn SecretFiles>> {
    bail!("{WITHOUT_POSTGRES}")
}

#[cfg(feature = "postgres")]
async fn open_in_database(
    config: &NodeConfig,
    url: &str,
    account: Option<Address>,
) -> anyhow::Result<SqliteCatalog> {
    let mut options = database_options(config, url).await?;
    if let Some(account) = account {
        options = options.for_account(account);
    }
    let place = options.place();
    SqliteCatalog::open_postgres(options)
        .await
        .with_context(|| format!("cannot open the catalog at {place}"))
}

/// The database that the settings name, where the catalog is in one.
///
/// # Errors
/// Where a setting cannot be used.
#[cfg(feature = "postgres")]
pub(crate) async fn database(config: &NodeConfig) -> anyhow::Result<Option<PostgresOptions>> {
    match &config.catalog_url {
        Some(url) => database_options(config, url.expose()).await.map(Some),
        None => Ok(None),
    }
}

#[cfg(feature = "postgres")]
async fn database_options(config: &NodeConfig, url: &str) -> anyhow::Result<PostgresOptions> {
    let mut options = PostgresOptions::at(url)?.readers(config.catalog.readers);
    if config.catalog.through_pooler {
        options = options.through_pooler();
    }
    match &config.catalog.password_file {
        Some(file) => options.password_file(file).await.context("catalog.password_file"),
        None => Ok(options),
    }
}

#[cfg(not(feature = "postgres"))]
async fn open_in_database(
    _config: &NodeConfig,
    _url: &str,
    _account: Option<Address>,
) -> anyhow::Result<SqliteCatalog> {
    bail!("{WITHOUT_POSTGRES}")
}

/// Tells that the catalog is in a database, and which instance was the last one to run on this
/// data directory.
pub(crate) const PROCESS_FILE: &str = "catalog-process";

pub(crate) fn process_file(config: &NodeConfig) -> PathBuf {
    config.data_dir.join(PROCESS_FILE)
}
