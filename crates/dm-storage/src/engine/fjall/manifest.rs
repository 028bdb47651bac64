//! Checks what fjall reads without looking at its checksum first.
//!
//! fjall keeps the list of a keyspace's tables in a file `v<number>`, and the
//! number and checksum of the newest one in a file `current`. The list and each
//! table are archives ([`sfa`]) that end with a table of contents. Opening takes
//! counts from both as they are, and a damaged one asks for so much memory that
//! the process is aborted. So the checksums are compared before.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use dm_core::ports::StoreError;
use xxhash_rust::xxh3::xxh3_128;

/// Where fjall keeps its keyspaces, a folder each.
const KEYSPACES: &str = "keyspaces";
/// The file that names the newest list.
const CURRENT: &str = "current";
/// Where a keyspace keeps its tables, each in a file named by its number.
const TABLES: &str = "tables";
/// Number (8 bytes), XXH3 checksum (16 bytes), both little-endian, and the
/// kind of the checksum, where 0 is XXH3.
const CURRENT_LEN: usize = 8 + 16 + 1;
/// Of a table in the list: number, kind of checksum, checksum, sequence number.
const TABLE_ENTRY_LEN: u64 = 8 + 1 + 16 + 8;
/// End of an archive: magic, version, kind of checksum, then the checksum,
/// position and length of the table of contents, little-endian.
const TRAILER_LEN: usize = 4 + 1 + 1 + 16 + 8 + 8;

/// Fails where the list of tables of any keyspace in an engine's folder, or the
/// table of contents of a table in it, is not what was written. A folder that
/// does not exist yet is fine.
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
    let (number, checksum) = parse_current(&current).ok_or_else(damaged_list)?;
    let list = folder.join(format!("v{number}"));
    let bytes = fs::read(&list).map_err(missing_or_failed)?;
    if xxh3_128(&bytes) != checksum {
        return Err(damaged_list());
    }
    for table in listed_tables(&list)? {
        check_contents(&folder.join(TABLES).join(table.to_string()))?;
    }
    Ok(())
}

fn parse_current(current: &[u8]) -> Option<(u64, u128)> {
    let current: &[u8; CURRENT_LEN] = current.try_into().ok()?;
    let (number, rest) = current.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}

/// The numbers of the tables in a list whose checksum is right: for each level
/// its runs, and for each run its tables, each preceded by its count.
fn listed_tables(list: &Path) -> Result<Vec<u64>, StoreError> {
    let archive = sfa::Reader::new(list).map_err(|_| damaged_list())?;
    let section = archive.toc().section(b"tables").ok_or_else(damaged_list)?;
    let mut reader = section.buf_reader(list).map_err(StoreError::from_io)?;
    let mut tables = Vec::new();
    for _ in 0..read_array::<1>(&mut reader)?[0] {
        for _ in 0..read_array::<1>(&mut reader)?[0] {
            for _ in 0..u32::from_le_bytes(read_array(&mut reader)?) {
                tables.push(u64::from_le_bytes(read_array(&mut reader)?));
                let rest = &mut (&mut reader).take(TABLE_ENTRY_LEN - 8);
                io::copy(rest, &mut io::sink()).map_err(StoreError::from_io)?;
            }
        }
    }
    Ok(tables)
}

/// Compares an archive's table of contents with the checksum in its trailer.
fn check_contents(archive: &Path) -> Result<(), StoreError> {
    let mut file = File::open(archive).map_err(missing_or_failed)?;
    let size = file.metadata().map_err(StoreError::from_io)?.len();
    let trailer_at = size.checked_sub(TRAILER_LEN as u64).ok_or_else(damaged_table)?;
    file.seek(SeekFrom::Start(trailer_at))
        .map_err(StoreError::from_io)?;
    let trailer: [u8; TRAILER_LEN] = read_array(&mut file)?;
    let (checksum, position, len) = parse_trailer(&trailer).ok_or_else(damaged_table)?;
    if position.checked_add(len) != Some(trailer_at) {
        return Err(damaged_table());
    }
    file.seek(SeekFrom::Start(position))
        .map_err(StoreError::from_io)?;
    let mut contents = Vec::new();
    file.take(len)
        .read_to_end(&mut contents)
        .map_err(StoreError::from_io)?;
    if xxh3_128(&contents) == checksum {
        Ok(())
    } else {
        Err(damaged_table())
    }
}

/// Checksum, position and length of the table of contents.
fn parse_trailer(trailer: &[u8; TRAILER_LEN]) -> Option<(u128, u64, u64)> {
    let (checksum, rest) = trailer[6..].split_first_chunk()?;
    let (position, rest) = rest.split_first_chunk()?;
    let (len, _) = rest.split_first_chunk()?;
    Some((
        u128::from_le_bytes(*checksum),
        u64::from_le_bytes(*position),
        u64::from_le_bytes(*len),
    ))
}

fn read_array<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(missing_or_failed)?;
    Ok(bytes)
}

fn missing_or_failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => {
            StoreError::Corrupt(format!("a file is missing or cut short ({error})"))
        }
        _ => StoreError::from_io(error),
    }
}

fn damaged_list() -> StoreError {
    StoreError::Corrupt("the list of the engine's tables is damaged".into())
}

fn damaged_table() -> StoreError {
    StoreError::Corrupt("a table is damaged".into())
}
