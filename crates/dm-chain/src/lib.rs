#![doc = include_str!("../README.md")]

mod anchors;
mod client;
mod config;
mod contract;
mod deployment;
pub mod embedded;
mod reader;
mod rpc;
mod transactions;
mod verifier;
mod wire;

pub use client::EvmClient;
pub use config::ClientConfig;
pub use contract::{DEPLOYMENT_PROXY, anchor_contract};
pub use rpc::InvalidUrl;
pub use verifier::ReceiptVerifier;
