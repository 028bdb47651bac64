//! Uploads that resume: their names, and what is kept of one until its data is shared.

use std::{fmt, str::FromStr};

use bytes::Bytes;

use crate::{hash::DataHash, share::WrappedKey};

/// Tells the data directory of an instance, where the parts of its uploads are, from those of
/// the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadPlace(pub [u8; 4]);

/// Names an upload: 32 hexadecimal digits of chance. Where a node has several instances, the
/// first eight say at which of them it began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub [u8; 16]);

/// The text names no upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 hexadecimal digits")]
pub struct InvalidUploadId;

impl UploadId {
    /// A name that no other upload has.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// A name that no other upload has, of one that begins at this place.
    pub fn at(UploadPlace(place): UploadPlace) -> Self {
        let mut id = Self::random();
        id.0[..place.len()].copy_from_slice(&place);
        id
    }

    /// Whether an upload of this name began at this place.
    pub fn is_at(self, UploadPlace(place): UploadPlace) -> bool {
        self.0.starts_with(&place)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadId({self})")
    }
}

impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(text: &str) -> Result<Self, InvalidUploadId> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| InvalidUploadId)?;
        Ok(Self(id))
    }
}

/// An upload as the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRecord {
    /// Its name.
    pub id: UploadId,
    /// Id of the API key that began it, and to which alone it belongs.
    pub key_id: String,
    /// Plaintext bytes that it shall have.
    pub length: u64,
    /// When it began, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it is forgotten, whatever has come of it, in milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// What its data is to be shared for, sealed.
    pub terms: Bytes,
    /// How far it is.
    pub stage: UploadStage,
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadStage {
    /// Bytes are missing, or the data is not shared yet.
    Open {
        /// The key that encrypts what has come.
        key: WrappedKey,
        /// What has come, and is durable.
        received: Received,
        /// Whether all has come and the share was refused: nobody but its client tries again.
        refused: bool,
    },
    /// The data is shared under this name.
    Shared(DataHash),
}

/// Plaintext of an upload that is durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Its bytes.
    pub offset: u64,
    /// Those behind the last whole chunk, sealed; `None` where there are none.
    pub tail: Option<Bytes>,
}

impl UploadRecord {
    /// Plaintext bytes that are durable.
    pub fn offset(&self) -> u64 {
        match &self.stage {
            UploadStage::Open { received, .. } => received.offset,
            UploadStage::Shared(_) => self.length,
        }
    }
}

/// Uploads that are not shared yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenUploads {
    /// How many there are.
    pub count: u64,
    /// Plaintext bytes that they shall have, those that are missing included.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_nothing_else_is_one() {
        let id = UploadId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "..", "00", &"0".repeat(33), &"g".repeat(32)] {
            assert_eq!(text.parse::<UploadId>(), Err(InvalidUploadId));
        }
    }
}
