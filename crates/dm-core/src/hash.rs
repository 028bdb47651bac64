//! The SHA-256 names of the system: data hashes, locators, chunk names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// Domain prefix of a [`Locator`]'s preimage.
const LOCATOR_DOMAIN: &[u8] = b"datamgmt/locator/1";
/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// The text was not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits")]
pub struct InvalidHash;

macro_rules! sha256_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The name with these 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes of the name.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = InvalidHash;

            /// Reads 64 hexadecimal digits of any case.
            fn from_str(text: &str) -> Result<Self, InvalidHash> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidHash)?;
                Ok(Self(bytes))
            }
        }

        /// Hexadecimal text in formats for people, 32 plain bytes in others.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(D::Error::custom)
                } else {
                    <[u8; 32]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

sha256_name! {
    /// SHA-256 of the plaintext: the name by which clients ask for data.
    DataHash
}

sha256_name! {
    /// SHA-256(`"datamgmt/locator/1"` ‖ data hash): the key on the DHT, so that
    /// who watches the DHT never sees a data hash.
    Locator
}

sha256_name! {
    /// SHA-256 of a chunk's bytes, as they are stored and sent.
    ChunkName
}

impl DataHash {
    /// The data hash of a whole plaintext.
    pub fn of(plaintext: &[u8]) -> Self {
        Self(Sha256::digest(plaintext).into())
    }

    /// Where the network keeps the object with this data hash.
    pub fn locator(&self) -> Locator {
        Locator(
            Sha256::new()
                .chain_update(LOCATOR_DOMAIN)
                .chain_update(self.0)
                .finalize()
                .into(),
        )
    }
}

impl ChunkName {
    /// The name of a chunk.
    pub fn of(chunk: &[u8]) -> Self {
        Self(Sha256::digest(chunk).into())
    }

    /// The names of two chunks. A block of SHA-256 waits for the one before it: taking blocks of
    /// two chunks in turn lets the processor work on both at once.
    pub fn of_both(chunks: [&[u8]; 2]) -> [Self; 2] {
        let [mut first, mut second] = [ChunkHasher::new(), ChunkHasher::new()];
        let [mut of_first, mut of_second] = chunks.map(|chunk| chunk.chunks(BLOCK));
        loop {
            let blocks = (of_first.next(), of_second.next());
            if let Some(block) = blocks.0 {
                first.update(block);
            }
            if let Some(block) = blocks.1 {
                second.update(block);
            }
            if blocks == (None, None) {
                return [first.finish(), second.finish()];
            }
        }
    }
}

macro_rules! hasher {
    ($(#[$doc:meta])* $hasher:ident, $name:ident) => {
        $(#[$doc])*
        #[derive(Default, Clone)]
        pub struct $hasher(Sha256);

        impl $hasher {
            /// A hasher that has seen nothing.
            pub fn new() -> Self {
                Self::default()
            }

            /// Takes the next piece.
            pub fn update(&mut self, piece: &[u8]) {
                self.0.update(piece);
            }

            /// The hash of all pieces in their order.
            pub fn finish(self) -> $name {
                $name(self.0.finalize().into())
            }
        }
    };
}

hasher! {
    /// Computes a [`DataHash`] from plaintext that arrives in pieces.
    DataHasher, DataHash
}

hasher! {
    /// Computes a [`ChunkName`] while the chunk is made.
    ChunkHasher, ChunkName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locator_follows_from_the_data_hash_alone() {
        let hash = DataHash::of(b"hello");
        let expected = Sha256::digest([LOCATOR_DOMAIN, hash.as_bytes()].concat());
        assert_eq!(hash.locator().as_bytes()[..], expected[..]);
    }

    #[test]
    fn two_chunks_that_are_named_together_have_the_names_of_each() {
        let bytes: Vec<u8> = (0..1000_u32).map(|n| (n % 251) as u8).collect();
        for lengths in [[0, 0], [0, 1], [64, 64], [63, 129], [1000, 200], [640, 641]] {
            let chunks = lengths.map(|length| &bytes[..length]);
            assert_eq!(ChunkName::of_both(chunks), chunks.map(ChunkName::of));
        }
    }

    #[test]
    fn hashes_are_read_in_any_case_and_written_in_lower_case() {
        let hash = DataHash::of(b"hello");
        let upper = hash.to_string().to_uppercase();
        assert_eq!(upper.parse(), Ok(hash));
        assert_eq!("ab".parse::<DataHash>(), Err(InvalidHash));
        assert_eq!("zz".repeat(32).parse::<DataHash>(), Err(InvalidHash));
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = DataHasher::new();
        hasher.update(b"hel");
        hasher.update(b"lo");
        assert_eq!(hasher.finish(), DataHash::of(b"hello"));
    }
}
