//! `dm-node backup`: copies a running node, checks copies, and makes a node of one.

use std::{
    fs::{self, File},
    io::{self, BufReader},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use dm_backup::{
    RestoredFiles, Restoring, SignedManifest, forget_open_uploads, give_up_orders, read_backup, verify_backup,
};
use dm_core::{
    config::{NodeConfig, StorageConfig},
    ports::EventLog,
};
use dm_storage::{SqliteCatalog, Storage};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::{
    cli::{BackupCommand, BackupCreateArgs, BackupRestoreArgs},
    download::{self, Access, partial_path},
    output,
    paths::input_path,
    times,
};

/// Bytes that are read from a backup at a time.
const BUFFER: usize = 1 << 20;

pub(crate) async fn run(command: BackupCommand, as_json: bool) -> anyhow::Result<()> {
    match command {
        BackupCommand::Create(args) => create(args, as_json).await,
        BackupCommand::Verify { file } => {
            let backup = tokio::task::spawn_blocking(move || verified(input_path(&file))).await??;
            output::print(as_json, &backup, describe)
        }
        BackupCommand::Restore(args) => restore(args, as_json).await,
    }
}

/// Takes the backup from the node, and checks it before it gets its name.
async fn create(args: BackupCreateArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    ensure!(
        !args.file.exists(),
        "{} exists already; it is not overwritten",
        args.file.display()
    );
    let response = client.send(client.request(Method::GET, "/backup")).await?;
    let mut backup = Value::Null;
    let bytes = download::to_file(response, &args.file, Access::Private, |file| {
        backup = verified(file)?;
        Ok(())
    })
    .await?;
    backup["file"] = json!(args.file);
    backup["bytes"] = json!(bytes);
    output::print(as_json, &backup, |backup| {
        format!(
            "{}\n{:<12} {} ({bytes} bytes)",
            describe(backup),
            "file",
            args.file.display()
        )
    })
}

fn verified(file: &Path) -> anyhow::Result<Value> {
    let (manifest, summary) = verify_backup(open(file)?)?;
    let mut backup = about(&manifest);
    backup["objects"] = json!(summary.objects);
    backup["missing"] = json!(summary.missing);
    backup["catalog_bytes"] = json!(summary.catalog_bytes);
    Ok(backup)
}

fn open(file: &Path) -> anyhow::Result<BufReader<File>> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(BufReader::with_capacity(BUFFER, opened))
}

fn about(manifest: &SignedManifest) -> Value {
    json!({
        "node": manifest.node.to_string(),
        "created_at": manifest.created_at,
    })
}

fn describe(backup: &Value) -> String {
    let lines = [
        ("objects", "objects"),
        ("missing", "missing"),
        ("catalog", "catalog_bytes"),
    ];
    format!("{}\n{}", describe_origin(backup), output::fields(backup, &lines))
}

/// Whose backup it is, and when it was made.
fn describe_origin(backup: &Value) -> String {
    let made_at = times::local_ms(&backup["created_at"]);
    format!(
        "{}\n{:<12} {made_at}",
        output::fields(backup, &[("node", "node")]),
        "made at"
    )
}

/// Makes the data directory beside its place, and moves it there once all of the
/// backup has been read and found to be whole.
async fn restore(args: BackupRestoreArgs, as_json: bool) -> anyhow::Result<()> {
    let target = &args.data_dir;
    ensure!(
        is_free(target)?,
        "{} is not empty; a backup is restored to a new directory",
        target.display()
    );
    let partial = partial_path(target);
    if partial.exists() {
        bail!(
            "{} is what another restore has left, or is making; remove it if none is running",
            partial.display()
        );
    }
    create_private(&partial)?;
    let restored = restore_to(&partial, &args.file).await;
    let restored = match restored {
        Ok(restored) => restored,
        Err(error) => {
            // The error is what matters; what is left is named by the next attempt.
            let _ = fs::remove_dir_all(&partial);
            return Err(error);
        }
    };
    move_to(&partial, target)?;
    output::print(as_json, &restored, |restored| {
        let lines = [
            ("events", "events"),
            ("given up", "orders_given_up"),
            ("forgotten", "uploads_forgotten"),
        ];
        format!(
            "{}\n{}\n{:<12} {}\n\nThe node that this backup is of must not run any more: two nodes cannot keep one log.",
            describe_origin(restored),
            output::fields(restored, &lines),
            "restored to",
            target.display()
        )
    })
}

async fn restore_to(dir: &Path, backup: &Path) -> anyhow::Result<Value> {
    let layout = NodeConfig {
        data_dir: dir.to_owned(),
        ..NodeConfig::default()
    };
    let objects_dir = layout.objects_dir();
    let storage = Storage::open(&objects_dir, &StorageConfig::default())?;
    let files = RestoredFiles {
        keys: dir.to_owned(),
        catalog: layout.catalog_file(),
        namespaces: dir.join("namespaces.tmp"),
    };
    let mut restoring = Restoring::new(files.clone(), storage.objects(), Handle::current());
    let reader = open(input_path(backup))?;
    let manifest = tokio::task::spawn_blocking(move || read_backup(reader, &mut restoring)).await??;
    storage.namespaces().take_from(&files.namespaces).await?;
    fs::remove_file(&files.namespaces)?;
    storage.close().await?;

    let catalog = SqliteCatalog::open(&files.catalog).await?;
    let given_up = give_up_orders(&catalog).await?;
    let forgotten = forget_open_uploads(&catalog).await?;
    let events = catalog.event_count().await?;
    catalog.close().await?;
    let mut restored = about(&manifest);
    restored["events"] = json!(events);
    restored["orders_given_up"] = json!(given_up);
    restored["uploads_forgotten"] = json!(forgotten);
    Ok(restored)
}

fn is_free(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn create_private(dir: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Gives the directory its name, durably. An empty directory of that name makes room.
fn move_to(partial: &Path, target: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot make {}", target.display());
    fs::rename(partial, target).with_context(cannot)?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))
        .and_then(|parent| parent.sync_all())
        .with_context(cannot)
}
