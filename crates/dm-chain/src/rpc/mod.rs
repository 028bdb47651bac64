//! JSON-RPC with a chain that may be slow, away, or not what it says.

mod connection;
mod endpoint;
#[cfg(feature = "ethers")]
mod ethers;
mod failure;
mod http;
mod node;

pub(crate) use connection::Connection;
pub use connection::InvalidUrl;
pub use endpoint::EndpointState;
#[cfg(feature = "ethers")]
pub(crate) use ethers::EthersConnection;
pub(crate) use failure::{RpcFailure, shortened};
pub(crate) use node::{Node, SwitchFailure};
