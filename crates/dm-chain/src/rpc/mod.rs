//! JSON-RPC with a chain that may be slow, away, or not what it says.

mod connection;
mod endpoint;
#[cfg(feature = "ethers")]
mod ethers;
mod failure;
mod http;
mod node;
mod record;
mod secrets;
mod verdict;

pub use connection::InvalidUrl;
pub(crate) use connection::{Connect, Connection};
pub(crate) use endpoint::Endpoint;
pub use endpoint::EndpointState;
#[cfg(feature = "ethers")]
pub(crate) use ethers::EthersConnection;
pub(crate) use failure::RpcFailure;
pub(crate) use node::{Node, SwitchFailure};
pub(crate) use record::{Cause, MethodFailure};
pub(crate) use verdict::Objection;
