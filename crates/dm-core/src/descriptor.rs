//! Descriptors: what the owner of an object says of it to its readers.
//!
//! A descriptor travels in the envelope, sealed under
//! [`ContentKey::for_descriptor`](crate::secret::ContentKey::for_descriptor). Layout: one
//! version byte, then the descriptor in
//! [postcard](https://postcard.jamesmunns.com/wire-format), then zeros up to a multiple of
//! [`PADDING`] bytes, so that the length tells nothing of a short name.

use serde::{Deserialize, Serialize};

use crate::hash::DataHash;

mod fields;
mod labels;

pub use fields::{CorrelationId, MediaType, ObjectName};
pub use labels::{LabelPairs, Labels};

/// Bytes of a descriptor without its padding.
pub const MAX_DESCRIPTOR: usize = 4096;
/// The length of a descriptor is a multiple of this, in bytes.
pub const PADDING: usize = 256;

/// The version that descriptors are written in; later ones are not understood.
const VERSION: u8 = 1;

/// Why something cannot be said of data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct InvalidDescription {
    /// Which part of the description, by its name in requests.
    pub field: &'static str,
    /// Completes "`field` …".
    pub reason: String,
}

impl InvalidDescription {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { field, reason }
    }
}

/// What an owner says of data when it is shared; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// By which name people know the data.
    pub name: Option<ObjectName>,
    /// What kind of data it is.
    pub media_type: Option<MediaType>,
    /// What programs sort it by.
    pub labels: Labels,
    /// What it belongs to, in the words of the program that shares it.
    pub correlation_id: Option<CorrelationId>,
    /// The data whose place it takes.
    pub supersedes: Option<DataHash>,
}

impl Description {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that all parts together are not too long.
    ///
    /// # Errors
    /// [`InvalidDescription`] for more than [`MAX_DESCRIPTOR`] bytes.
    pub fn ensure_fits(&self) -> Result<(), InvalidDescription> {
        // The data hash in front of it has a fixed length.
        let size = Descriptor::new(DataHash::from_bytes([0; 32]), self.clone())
            .unpadded()
            .len();
        if size <= MAX_DESCRIPTOR {
            return Ok(());
        }
        let reason = format!("takes {size} bytes in all, which are more than {MAX_DESCRIPTOR}");
        Err(InvalidDescription::new("descriptor", reason))
    }
}

/// What the owner says of an object: the data hash, so that a reader who came by the
/// locator learns it, and the description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// SHA-256 of the plaintext.
    pub data_hash: DataHash,
    /// What is said of it.
    pub description: Description,
}

impl Descriptor {
    /// Says this of the data.
    pub fn new(data_hash: DataHash, description: Description) -> Self {
        Self {
            data_hash,
            description,
        }
    }

    /// The bytes that are sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.unpadded();
        bytes.resize(bytes.len().next_multiple_of(PADDING), 0);
        bytes
    }

    /// Reads bytes that were sealed by anybody; `None` where they are no descriptor, or
    /// one of a later version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, body) = bytes.split_first()?;
        if version != VERSION {
            return None;
        }
        let (descriptor, _padding) = postcard::take_from_bytes::<Self>(body).ok()?;
        descriptor.description.ensure_fits().ok()?;
        // One descriptor has one form.
        (descriptor.encode() == bytes).then_some(descriptor)
    }

    fn unpadded(&self) -> Vec<u8> {
        // Texts and hashes always have a form in postcard.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use proptest::prelude::*;

    use super::*;

    fn description() -> impl Strategy<Value = Description> {
        let name = proptest::option::of("[a-zA-Z äöü._-]{1,20}x");
        let media_type = proptest::option::of("[a-z]{1,9}/[a-z0-9][a-z0-9.+-]{0,9}(; charset=utf-8)?");
        let labels = proptest::collection::btree_map("[A-Za-z0-9_.-]{1,64}", "[a-zß ]{0,40}", 0..8);
        let correlation_id = proptest::option::of("[a-zA-Z0-9-]{1,40}");
        let supersedes = proptest::option::of(any::<[u8; 32]>());
        (name, media_type, labels, correlation_id, supersedes).prop_map(
            |(name, media_type, labels, correlation_id, supersedes)| Description {
                name: name.map(|text| text.parse().unwrap()),
                media_type: media_type.map(|text| text.parse().unwrap()),
                labels: Labels::try_from(labels.into_iter().collect::<LabelPairs>()).unwrap(),
                correlation_id: correlation_id.map(|text| text.parse().unwrap()),
                supersedes: supersedes.map(DataHash::from_bytes),
            },
        )
    }

    #[test]
    fn the_form_of_a_descriptor_stays() {
        let description = Description {
            name: Some("a.txt".parse().unwrap()),
            media_type: Some("text/plain".parse().unwrap()),
            labels: Labels::try_from([("k", "v")].into_iter().collect::<LabelPairs>()).unwrap(),
            correlation_id: None,
            supersedes: None,
        };
        let hash = DataHash::from_bytes([7; 32]);
        let mut expected = vec![1];
        expected.extend([7; 32]);
        expected.extend(b"\x01\x05a.txt\x01\x0atext/plain\x01\x01k\x01v\x00\x00");
        expected.resize(PADDING, 0);
        assert_eq!(Descriptor::new(hash, description).encode(), expected);
    }

    #[test]
    fn a_later_version_is_not_understood_and_no_fault() {
        let mut bytes = Descriptor::new(DataHash::of(b"data"), Description::default()).encode();
        bytes[0] = 2;
        assert_eq!(Descriptor::decode(&bytes), None);
    }

    #[test]
    fn a_description_that_is_too_long_in_all_is_refused() {
        let pairs = (0..32).map(|n| (format!("key{n}"), "v".repeat(256)));
        let description = Description {
            labels: Labels::try_from(pairs.collect::<LabelPairs>()).unwrap(),
            ..Description::default()
        };
        let error = description.ensure_fits().unwrap_err();
        assert!(error.to_string().contains("more than 4096"), "{error}");
        let too_long = Descriptor::new(DataHash::of(b"data"), description).encode();
        assert_eq!(Descriptor::decode(&too_long), None);
    }

    proptest! {
        #[test]
        fn what_was_said_is_read_and_its_length_tells_little(description in description()) {
            let descriptor = Descriptor::new(DataHash::of(b"data"), description);
            let bytes = descriptor.encode();
            prop_assert_eq!(bytes.len() % PADDING, 0);
            prop_assert_eq!(Descriptor::decode(&bytes), Some(descriptor));
        }

        #[test]
        fn hostile_bytes_are_read_in_one_form_or_not_at_all(
            description in description(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            length in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Descriptor::new(DataHash::of(b"data"), description).encode();
            let changed = at.index(bytes.len());
            bytes[changed] = byte;
            if let Some(read) = Descriptor::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes.clone());
            }
            bytes.truncate(length.index(bytes.len()));
            prop_assert_eq!(Descriptor::decode(&bytes), None);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Descriptor::decode(&bytes);
        }
    }
}
