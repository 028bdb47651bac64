//! Moves a stopped node from the stores of one configuration to those of another one.
//!
//! Everything is copied, then everything is compared, and only then may the node run in its new
//! place. Nothing of the old one is changed but for a mark, which keeps the node from running there.

pub(crate) mod mark;
mod plugin_files;

use std::{path::Path, sync::Arc};

use anyhow::{bail, ensure};
use dm_compliance::log_head;
use dm_core::{Address, config::NodeConfig, instance::InstanceId, ports::KeptLimits, receipt::Checkpoint};
use dm_keys::{KEY_FILE, KEYSTORE_FILE};
use dm_services::migration::{ObjectTotals, Pass, entries, objects, secret_file};
use dm_storage::{SqliteCatalog, Storage, TableTotals};

use self::mark::Marked;
use crate::{
    catalog, data_dir, data_dir_format, data_dir_lock::DataDirLock, home, instance, namespaces::Namespace,
    progress::Steps, storage,
};

/// What is the same in both places.
pub(crate) struct Moved {
    pub(crate) account: Address,
    /// Where the node was, and where it is now.
    pub(crate) places: [String; 2],
    pub(crate) tables: TableTotals,
    /// Entries of all namespaces.
    pub(crate) entries: u64,
    pub(crate) objects: ObjectTotals,
    /// Size and root of the log.
    pub(crate) head: Option<Checkpoint>,
}

/// Moves the node, or goes on with that where it was broken off.
///
/// # Errors
/// Where the node runs, where the target holds something else, and where a store fails. The
/// same may be done again then.
pub(crate) async fn run(source: &NodeConfig, target: &NodeConfig, steps: &Steps) -> anyhow::Result<Moved> {
    refuse_shared(source, target)?;
    let _source_lock = DataDirLock::take(&source.data_dir)?;
    let mut target_lock = DataDirLock::make(&target.data_dir)?;
    let (from, to) = (marked(source).await?, marked(target).await?);
    let account = account(source, &from).await?;
    end_others(source, account).await?;
    mark::begin(&from, &to).await?;
    target_lock.keep();
    // Also of whoever began before the mark was there; nobody begins from here on.
    end_others(source, account).await?;
    data_dir_format::note(&target.data_dir)?;
    let moved = pass_through(
        &[Pass::Copy, Pass::Compare],
        [source, target],
        [from, to],
        account,
        steps,
    )
    .await?;
    plugin_files::copy(&source.plugins_dir(), &target.plugins_dir())?;
    if target.catalog_url.is_some() {
        instance::remember(target, InstanceId::random())?;
    }
    if data_dir::is_made_by_init(&source.data_dir) && !data_dir::is_made_by_init(&target.data_dir) {
        data_dir::mark_made_by_init(&target.data_dir)?;
    }
    mark::complete(&marked(target).await?).await?;
    Ok(moved)
}

/// Compares a node with what it was moved to, before that has run.
///
/// # Errors
/// Where anything is not the same, and where a store fails.
pub(crate) async fn check(source: &NodeConfig, target: &NodeConfig, steps: &Steps) -> anyhow::Result<Moved> {
    refuse_shared(source, target)?;
    let _source_lock = DataDirLock::take(&source.data_dir)?;
    let _target_lock = DataDirLock::take(&target.data_dir)?;
    let (from, to) = (marked(source).await?, marked(target).await?);
    ensure!(to.has_keys().await?, "{} holds no node yet", to.place);
    let account = account(source, &from).await?;
    pass_through(&[Pass::Compare], [source, target], [from, to], account, steps).await
}

/// Both have everything of their own: a store that both use would have the same objects twice.
fn refuse_shared(source: &NodeConfig, target: &NodeConfig) -> anyhow::Result<()> {
    let database = source.catalog_url.as_ref().map(|url| url.expose());
    let bucket = &source.storage.objects_url;
    let shared = [
        ("data_dir", is_same(&source.data_dir, &target.data_dir)),
        ("db_path", is_same(&source.objects_dir(), &target.objects_dir())),
        (
            "sqlite_db_path",
            is_same(&source.catalog_file(), &target.catalog_file()),
        ),
        (
            "catalog_url",
            database.is_some() && database == target.catalog_url.as_ref().map(|url| url.expose()),
        ),
        (
            "storage.objects_url",
            bucket.is_some() && *bucket == target.storage.objects_url,
        ),
    ];
    if let Some((name, _)) = shared.iter().find(|(_, is_shared)| *is_shared) {
        bail!("both configurations have the same {name}: the target needs one of its own");
    }
    ensure!(
        source.uses_devnet() == target.uses_devnet(),
        "one of the configurations has the embedded chain, and the other one has not: set blockchain_url"
    );
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

async fn marked(config: &NodeConfig) -> anyhow::Result<Marked> {
    Ok(Marked {
        files: catalog::secret_files_of_any(config).await?,
        place: catalog::place(config).await?,
        has_stores: config.catalog_file().exists() || config.objects_dir().exists(),
    })
}

/// The node account, whose keys the password opens.
async fn account(config: &NodeConfig, side: &Marked) -> anyhow::Result<Address> {
    let keys = home::open_keys_in(config, side.files.clone()).await?;
    Ok(keys.signer().address())
}

/// Ends the term of whoever runs the node on a database.
async fn end_others(config: &NodeConfig, account: Address) -> anyhow::Result<()> {
    if config.catalog_url.is_none() {
        return Ok(());
    }
    let catalog = catalog::open_for_node(config, account).await?;
    let ended = instance::end_others(config, &catalog).await;
    catalog.close().await?;
    ended
}

/// Goes through everything once for each pass, from the first place to the second.
async fn pass_through(
    passes: &[Pass],
    configs: [&NodeConfig; 2],
    sides: [Marked; 2],
    account: Address,
    steps: &Steps,
) -> anyhow::Result<Moved> {
    let mut moved = Moved {
        account,
        places: sides.each_ref().map(|side| side.place.clone()),
        tables: TableTotals::default(),
        entries: 0,
        objects: ObjectTotals::default(),
        head: None,
    };
    for pass in passes {
        moved.tables = tables(*pass, configs, steps).await?;
    }
    let [source, target] = configs;
    let stores = [
        Stores::open(source, account).await?,
        Stores::open(target, account).await?,
    ];
    for pass in passes {
        moved.entries = all_entries(*pass, configs, &stores, steps).await?;
        steps.begin(&format!("{} objects", verb(*pass)));
        let [source, target] = stores.each_ref().map(|stores| stores.storage.objects());
        let told =
            |done: ObjectTotals| steps.done(&format!("{} objects, {} bytes", done.objects, done.bytes));
        moved.objects = objects(&*source, &*target, *pass, &told).await?;
        key_files(*pass, &sides).await?;
    }
    let [of_source, of_target] = stores.each_ref().map(|stores| log_head(stores.catalog.clone()));
    moved.head = of_source.await?;
    ensure!(
        moved.head == of_target.await?,
        "the log is not the same in both places"
    );
    let [_, target_side] = &sides;
    ensure!(
        self::account(target, target_side).await? == account,
        "the keys are not the same in both places"
    );
    for stores in stores {
        stores.close().await?;
    }
    steps.end();
    Ok(moved)
}

fn verb(pass: Pass) -> &'static str {
    match pass {
        Pass::Copy => "copying",
        Pass::Compare => "comparing",
    }
}

async fn tables(pass: Pass, configs: [&NodeConfig; 2], steps: &Steps) -> anyhow::Result<TableTotals> {
    steps.begin(&format!("{} the catalog", verb(pass)));
    let [source, target] = configs;
    let mut source = catalog::tables(source).await?;
    let mut target = catalog::tables(target).await?;
    let mut told = |rows: u64| steps.done(&format!("{rows} rows"));
    let totals = match pass {
        Pass::Copy => target.take_from(&mut source, &mut told).await?,
        Pass::Compare => target.compare_with(&mut source, &mut told).await?,
    };
    target.close().await?;
    source.close().await?;
    Ok(totals)
}

/// The stores of one side but for the tables of its catalog.
struct Stores {
    storage: Storage,
    catalog: Arc<SqliteCatalog>,
}

impl Stores {
    async fn open(config: &NodeConfig, account: Address) -> anyhow::Result<Self> {
        // What is stored was within the limits when it came.
        let limits = KeptLimits {
            account,
            ..KeptLimits::NONE
        };
        Ok(Self {
            catalog: Arc::new(catalog::open_for_node(config, account).await?),
            storage: storage::open(config, limits).await?,
        })
    }

    async fn close(self) -> anyhow::Result<()> {
        self.storage.close().await?;
        Ok(self.catalog.close().await?)
    }
}

async fn all_entries(
    pass: Pass,
    configs: [&NodeConfig; 2],
    stores: &[Stores; 2],
    steps: &Steps,
) -> anyhow::Result<u64> {
    let mut count = 0;
    let ([source, target], [from, to]) = (configs, stores);
    for namespace in Namespace::LASTING {
        steps.begin(&format!("{} the namespace {}", verb(pass), namespace.name()));
        let source = namespace.open(source, &from.storage, &from.catalog);
        let target = namespace.open(target, &to.storage, &to.catalog);
        count += entries(namespace.name(), &*source, &*target, pass).await?;
    }
    Ok(count)
}

async fn key_files(pass: Pass, sides: &[Marked; 2]) -> anyhow::Result<()> {
    let [source, target] = sides.each_ref().map(|side| side.files.clone());
    let copied = tokio::task::spawn_blocking(move || {
        for name in [KEYSTORE_FILE, KEY_FILE] {
            secret_file(name, &*source, &*target, pass)?;
        }
        anyhow::Ok(())
    });
    copied.await?
}
