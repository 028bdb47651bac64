//! JSON-RPC with a chain that may be slow, away, or not what it says.

mod connection;
mod endpoint;
mod failure;
mod http;
mod node;

pub(crate) use connection::Connection;
pub use connection::InvalidUrl;
pub use endpoint::EndpointState;
pub(crate) use failure::{RpcFailure, shortened};
pub(crate) use node::{Node, SwitchFailure};
