//! JSON-RPC with a chain that may be slow, away, or not what it says.

mod connection;
mod endpoint;
mod error_origin;
#[cfg(feature = "ethers")]
mod ethers;
mod failure;
mod http;
mod node;
mod record;
mod secrets;

pub use connection::InvalidUrl;
pub(crate) use connection::{Connect, Connection};
pub(crate) use endpoint::Endpoint;
pub use endpoint::EndpointState;
pub(crate) use error_origin::Objection;
#[cfg(feature = "ethers")]
pub(crate) use ethers::EthersConnection;
pub(crate) use failure::RpcFailure;
pub(crate) use node::{Node, SwitchFailure};
pub(crate) use record::{Cause, MethodFailure};
