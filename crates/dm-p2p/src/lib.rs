#![doc = include_str!("../README.md")]

mod addresses;
mod client;
mod dht;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handle;
mod identity;
mod initial_peers;
mod known_holders;
mod news;
mod node;
mod options;
mod peers;
mod proof;
mod server;
mod setup;
mod swarm_key;
mod traffic;
mod wire;

pub use error::P2pError;
pub use handle::P2p;
pub use identity::Identity;
pub use initial_peers::{DialTarget, InvalidPeer, parse_initial_peer};
pub use node::LookupTrace;
pub use options::{P2pOptions, Transport};
pub use setup::network_faults;
