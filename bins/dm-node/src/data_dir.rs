//! The files that the commands themselves write into the data directory.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context;

/// Name of the configuration file.
pub(crate) const CONFIG_FILE: &str = "dm-node.toml";
/// Left by `init`, so that the directory is known also where its configuration file is
/// kept elsewhere.
const INIT_MARK: &str = "made-by-init";
/// Tells the data directory from those of other instances of its node.
const INSTANCE_FILE: &str = "instance";

/// Whether `init` has made a data directory. Older versions left their configuration only.
pub(crate) fn is_made_by_init(data_dir: &Path) -> bool {
    [INIT_MARK, CONFIG_FILE]
        .into_iter()
        .any(|name| data_dir.join(name).is_file())
}

/// Notes that `init` makes a data directory.
///
/// # Errors
/// Where the note cannot be written.
pub(crate) fn mark_made_by_init(data_dir: &Path) -> anyhow::Result<()> {
    write_private(
        &data_dir.join(INIT_MARK),
        "This node runs on the embedded chain only where its configuration says blockchain_url = \"devnet\".\n",
    )
}

/// What tells a data directory from those of other instances of its node: 16 bytes of
/// chance, which are made where there are none.
///
/// # Errors
/// Where they cannot be read or written.
pub(crate) fn instance(data_dir: &Path) -> anyhow::Result<[u8; 16]> {
    let file = data_dir.join(INSTANCE_FILE);
    if !file.exists() {
        write_private(&file, &format!("{}\n", hex::encode(rand::random::<[u8; 16]>())))?;
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut instance = [0; 16];
    hex::decode_to_slice(text.trim(), &mut instance).with_context(|| {
        format!(
            "{} is damaged: delete it, and the instance becomes another peer",
            file.display()
        )
    })?;
    Ok(instance)
}

/// Writes a file of a data directory as a whole, or not at all; durable when it returns.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn replace_file(data_dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let file = data_dir.join(name);
    let write = || {
        let next = data_dir.join(format!("{name}.new"));
        let mut written = fs::File::create(&next)?;
        written.write_all(text.as_bytes())?;
        written.sync_all()?;
        fs::rename(&next, &file)?;
        fs::File::open(data_dir)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// Writes a new file that only its owner can read; never over another one.
///
/// # Errors
/// Where there is one already, or it cannot be written.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}
