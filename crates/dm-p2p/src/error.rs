use dm_core::config::ConfigFault;

/// Why the peer-to-peer layer did not start.
#[derive(Debug, thiserror::Error)]
pub enum P2pError {
    /// The configuration cannot be read: see [`crate::network_faults`].
    #[error("{}", lines(.0))]
    Config(Vec<ConfigFault>),
    /// The bytes are no Ed25519 key in libp2p's protobuf form.
    #[error("the node's network identity cannot be read: {0}")]
    Identity(String),
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

fn lines(faults: &[ConfigFault]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
