#![doc = include_str!("../README.md")]

mod addresses;
mod client;
mod config;
mod dht;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handle;
mod holder_cache;
mod holder_updates;
mod identity;
mod initial_peers;
mod node;
mod notices;
mod parsed_config;
mod peers;
mod proof;
mod server;
mod swarm_key;
mod traffic;
mod wire;

pub use config::{P2pConfig, P2pDeps, Transport};
pub use dht::SweepTrace;
pub use error::P2pError;
pub use handle::P2p;
pub use identity::Identity;
pub use initial_peers::{DialTarget, InvalidPeer, parse_initial_peer};
pub use node::LookupTrace;
pub use parsed_config::network_faults;
