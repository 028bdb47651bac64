//! Instances: the processes that together are one node.

use std::{fmt, str::FromStr};

/// Names one run of an instance: 32 hexadecimal digits of chance. An instance that starts
/// again has another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub [u8; 16]);

impl InstanceId {
    /// A name that no other instance has.
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A text that names no instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 hexadecimal digits")]
pub struct InvalidInstanceId;

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| InvalidInstanceId)?;
        Ok(Self(id))
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceId({self})")
    }
}

/// What an instance says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub id: InstanceId,
    /// What the operator calls it.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Its libp2p peer id, where it takes part in the network.
    pub peer_id: Option<String>,
    /// Multiaddrs under which other instances reach it.
    pub addresses: Vec<String>,
}

/// An instance, and when it was there. Times are milliseconds since the Unix epoch, by the
/// clock of whoever keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenInstance {
    /// What it says of itself.
    pub instance: Instance,
    /// When it was first seen.
    pub started_at: u64,
    /// When it was last seen.
    pub seen_at: u64,
    /// How long ago that was, in milliseconds.
    pub silent_ms: u64,
}

impl SeenInstance {
    /// An instance that has been silent for so long, in milliseconds by the clock of the catalog, has
    /// ended, and its turns with it. It gives signs of life every five seconds.
    pub const GONE_AFTER_MS: u64 = 20_000;

    /// Whether it counts as one that has ended.
    pub fn is_gone(&self) -> bool {
        self.silent_ms >= Self::GONE_AFTER_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = InstanceId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "00", &"0".repeat(33), &"x".repeat(32)] {
            assert_eq!(wrong.parse::<InstanceId>(), Err(InvalidInstanceId));
        }
    }
}
