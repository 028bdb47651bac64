//! The names of the entries of an archive.

use dm_core::{Address, envelope::ObjectId, hash::Locator};

/// The copy of the catalog.
const CATALOG: &str = "catalog.sqlite";
/// The copy of the key-value namespaces.
const NAMESPACES: &str = "namespaces";
/// The manifest, which is the last entry.
const MANIFEST: &str = "manifest";
/// Before the names of files that hold secrets, encrypted.
const KEYS: &str = "keys/";
/// Before the names of objects.
const OBJECTS: &str = "objects/";
/// The last part of an object: what its owner says of it.
const ENVELOPE: &str = "envelope";
/// Stands for an object that could not be read when the backup was made.
const MISSING: &str = "missing";
/// Longest name of a file that holds secrets.
const MAX_KEY_FILE_NAME: usize = 64;

/// What an entry of the archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArchiveEntry {
    /// A file that holds secrets, encrypted as it is kept.
    KeyFile(String),
    /// The copy of the catalog.
    Catalog,
    /// The copy of the key-value namespaces.
    Namespaces,
    /// A chunk of an object; chunks come in their order and before the envelope.
    /// One with index 0 begins its object anew.
    Chunk(ObjectId, u64),
    /// The envelope of an object, after its chunks.
    Envelope(ObjectId),
    /// An object that could not be read; what there is of its chunks does not count.
    Missing(ObjectId),
    /// What the node says of the backup.
    Manifest,
}

impl ArchiveEntry {
    /// Its name in the archive.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::KeyFile(name) => format!("{KEYS}{name}"),
            Self::Catalog => CATALOG.to_owned(),
            Self::Namespaces => NAMESPACES.to_owned(),
            Self::Chunk(id, index) => format!("{}{index:08}", folder(id)),
            Self::Envelope(id) => format!("{}{ENVELOPE}", folder(id)),
            Self::Missing(id) => format!("{}{MISSING}", folder(id)),
            Self::Manifest => MANIFEST.to_owned(),
        }
    }

    /// The entry of this name; nothing where there is no such entry. A name leads
    /// nowhere but to what it says: there are no paths in it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let entry = match name {
            CATALOG => Self::Catalog,
            NAMESPACES => Self::Namespaces,
            MANIFEST => Self::Manifest,
            _ => match (name.strip_prefix(KEYS), name.strip_prefix(OBJECTS)) {
                (Some(file), _) => Self::KeyFile(key_file(file)?),
                (_, Some(part)) => part_of_object(part)?,
                _ => return None,
            },
        };
        (entry.name() == name).then_some(entry)
    }
}

fn folder(id: &ObjectId) -> String {
    let (locator, owner) = (hex::encode(id.locator.as_bytes()), hex::encode(id.owner));
    format!("{OBJECTS}{locator}/{owner}/")
}

fn key_file(name: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-' || byte == b'_';
    let is_name = !name.starts_with('.') && name.len() <= MAX_KEY_FILE_NAME && name.bytes().all(is_plain);
    (is_name && !name.is_empty()).then(|| name.to_owned())
}

fn part_of_object(name: &str) -> Option<ArchiveEntry> {
    let mut parts = name.split('/');
    let (locator, owner, part) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let mut id = ([0; 32], [0; 20]);
    hex::decode_to_slice(locator, &mut id.0).ok()?;
    hex::decode_to_slice(owner, &mut id.1).ok()?;
    let id = ObjectId {
        locator: Locator::from_bytes(id.0),
        owner: Address::new(id.1),
    };
    match part {
        ENVELOPE => Some(ArchiveEntry::Envelope(id)),
        MISSING => Some(ArchiveEntry::Missing(id)),
        index => Some(ArchiveEntry::Chunk(id, index.parse().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_entry() {
        let id = ObjectId {
            locator: Locator::from_bytes([7; 32]),
            owner: Address::repeat_byte(9),
        };
        for entry in [
            ArchiveEntry::KeyFile("keys.json".to_owned()),
            ArchiveEntry::Catalog,
            ArchiveEntry::Namespaces,
            ArchiveEntry::Chunk(id, 0),
            ArchiveEntry::Chunk(id, 123_456_789_012),
            ArchiveEntry::Envelope(id),
            ArchiveEntry::Missing(id),
            ArchiveEntry::Manifest,
        ] {
            assert_eq!(ArchiveEntry::from_name(&entry.name()), Some(entry));
        }
    }

    #[test]
    fn other_names_are_refused() {
        let object = ArchiveEntry::Chunk(
            ObjectId {
                locator: Locator::from_bytes([7; 32]),
                owner: Address::repeat_byte(9),
            },
            3,
        );
        for name in [
            "",
            "keys/",
            "keys/../catalog.sqlite",
            "keys/a/b",
            "keys/.hidden",
            "/etc/passwd",
            "../manifest",
            "objects/",
            &object.name().replace("00000003", "3"),
            &object.name().to_uppercase(),
            &format!("{}/x", object.name()),
        ] {
            assert_eq!(ArchiveEntry::from_name(name), None, "{name}");
        }
    }
}
