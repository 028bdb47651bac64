//! Checks what fjall reads without looking at its checksum.
//!
//! fjall keeps the list of a keyspace's tables in a file `v<number>`, and the
//! number and checksum of the newest one in a file `current`. Opening takes
//! counts from the list as they are, and a damaged one asks for so much memory
//! that the process is aborted. So the checksum is compared before.

use std::{fs, io, path::Path};

use dm_core::ports::StoreError;
use xxhash_rust::xxh3::xxh3_128;

/// Where fjall keeps its keyspaces, a folder each.
const KEYSPACES: &str = "keyspaces";
/// The file that names the newest list.
const CURRENT: &str = "current";
/// Number (8 bytes), XXH3 checksum (16 bytes), both little-endian, and the
/// kind of the checksum, where 0 is XXH3.
const CURRENT_LEN: usize = 8 + 16 + 1;

/// Fails where the list of tables of any keyspace in an engine's folder is not
/// what was written. A folder that does not exist yet is fine.
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    let keyspaces = match fs::read_dir(folder.join(KEYSPACES)) {
        Ok(keyspaces) => keyspaces,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::from_io(error)),
    };
    for keyspace in keyspaces {
        check_keyspace(&keyspace.map_err(StoreError::from_io)?.path())?;
    }
    Ok(())
}

fn check_keyspace(folder: &Path) -> Result<(), StoreError> {
    let current = match fs::read(folder.join(CURRENT)) {
        Ok(current) => current,
        // fjall had begun to make the keyspace, and finishes that itself.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::from_io(error)),
    };
    let (number, checksum) = parse(&current).ok_or_else(damaged)?;
    match fs::read(folder.join(format!("v{number}"))) {
        Ok(list) if xxh3_128(&list) == checksum => Ok(()),
        Ok(_) => Err(damaged()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(damaged()),
        Err(error) => Err(StoreError::from_io(error)),
    }
}

fn parse(current: &[u8]) -> Option<(u64, u128)> {
    let current: &[u8; CURRENT_LEN] = current.try_into().ok()?;
    let (number, rest) = current.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}

fn damaged() -> StoreError {
    StoreError::Corrupt("the list of the engine's tables is damaged".into())
}
