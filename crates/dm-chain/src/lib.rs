#![doc = include_str!("../README.md")]

mod access;
mod account_health;
mod accounts;
mod anchors;
mod backend;
mod client;
mod config;
mod contract;
mod deployment;
pub mod embedded;
mod hand_over;
mod head_watch;
mod health;
mod operations;
mod reader;
mod reverts;
mod rpc;
mod text;
mod tokens;
mod transactions;
mod tx;
mod verifier;
mod wire;

pub use access::ChainAccess;
pub use account_health::AccountHealth;
pub use client::{ClientDeps, EvmClient, SwitchError};
pub use config::ClientConfig;
pub use contract::{DEPLOYMENT_PROXY, anchor_contract};
pub use rpc::{EndpointState, InvalidUrl};
pub use verifier::ReceiptVerifier;
