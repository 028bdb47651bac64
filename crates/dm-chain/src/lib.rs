#![doc = include_str!("../README.md")]

mod account_health;
mod accounts;
mod anchors;
mod client;
mod config;
mod contract;
mod deployment;
pub mod embedded;
mod hand_over;
mod health;
mod library;
mod operations;
mod reader;
mod reverts;
mod rpc;
mod text;
mod tokens;
mod transactions;
mod verifier;
mod wire;

pub use account_health::AccountHealth;
pub use client::{EvmClient, SwitchError};
pub use config::ClientConfig;
pub use contract::{DEPLOYMENT_PROXY, anchor_contract};
pub use rpc::{EndpointState, InvalidUrl};
pub use verifier::ReceiptVerifier;
