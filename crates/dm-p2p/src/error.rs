use crate::initial_peers::InvalidPeer;

/// Why the peer-to-peer layer did not start.
#[derive(Debug, thiserror::Error)]
pub enum P2pError {
    /// An entry of `initial_peers` cannot be read.
    #[error("initial_peers: {0}")]
    InitialPeer(#[from] InvalidPeer),
    /// The bytes are no Ed25519 key in libp2p's protobuf form.
    #[error("the node's network identity cannot be read: {0}")]
    Identity(String),
    /// An entry of `network.allowed_peers` is no peer id.
    #[error("network.allowed_peers: '{0}' is no peer id")]
    AllowedPeer(String),
    /// The port is taken, or the interface does not exist.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The multiaddr that was asked for.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// Encryption or name resolution could not be set up.
    #[error("cannot set up the network transport: {0}")]
    Transport(String),
    /// The peer book could not be read.
    #[error("cannot read the peer book: {0}")]
    PeerBook(#[from] dm_core::ports::CatalogError),
}
