//! The key that a node is known by in the network.

use std::fmt;

use libp2p::{PeerId, identity::Keypair};

use crate::error::P2pError;

/// An Ed25519 key pair; its public half hashes to the peer id. Hidden from `Debug`.
#[derive(Clone)]
pub struct Identity(Keypair);

impl Identity {
    /// A fresh key from the operating system's random source.
    pub fn generate() -> Self {
        Self(Keypair::generate_ed25519())
    }

    /// The key that follows from a seed: the private key of
    /// [RFC 8032](https://www.rfc-editor.org/rfc/rfc8032).
    ///
    /// # Errors
    /// [`P2pError::Identity`] where the seed cannot be used.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, P2pError> {
        Keypair::ed25519_from_bytes(*seed)
            .map(Self)
            .map_err(|error| P2pError::Identity(error.to_string()))
    }

    /// Reads the form that [`Identity::to_bytes`] writes: libp2p's protobuf
    /// encoding of a private key.
    ///
    /// # Errors
    /// [`P2pError::Identity`] where the bytes are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, P2pError> {
        let keypair =
            Keypair::from_protobuf_encoding(bytes).map_err(|error| P2pError::Identity(error.to_string()))?;
        match keypair.key_type() {
            libp2p::identity::KeyType::Ed25519 => Ok(Self(keypair)),
            other => Err(P2pError::Identity(format!("{other:?} is not Ed25519"))),
        }
    }

    /// The private key in libp2p's protobuf encoding: a secret.
    ///
    /// # Errors
    /// [`P2pError::Identity`] where the key cannot be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, P2pError> {
        self.0
            .to_protobuf_encoding()
            .map_err(|error| P2pError::Identity(error.to_string()))
    }

    /// The peer id in its text form, as an address record carries it.
    pub fn peer_id(&self) -> String {
        self.id().to_base58()
    }

    pub(crate) fn id(&self) -> PeerId {
        self.0.public().to_peer_id()
    }

    pub(crate) fn keypair(&self) -> &Keypair {
        &self.0
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.peer_id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_same_after_it_was_written_and_read() {
        let identity = Identity::generate();
        let read = Identity::from_bytes(&identity.to_bytes().unwrap()).unwrap();
        assert_eq!(read.peer_id(), identity.peer_id());
    }

    #[test]
    fn rubbish_is_no_identity_and_debug_shows_no_key() {
        assert!(Identity::from_bytes(b"rubbish").is_err());
        assert!(Identity::from_bytes(&[]).is_err());
        let identity = Identity::generate();
        assert_eq!(
            format!("{identity:?}"),
            format!("Identity({:?})", identity.peer_id())
        );
    }
}
