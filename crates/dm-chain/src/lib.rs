#![doc = include_str!("../README.md")]
//!
//! ## Map of the modules
//!
//! From the ground up. Modules of one line may know each other; none knows one of a
//! later line.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`text`], [`wire`], [`config`], [`contract`], [`reverts`] | what chains say, how a client is configured, the anchor contract, refusals in words |
//! | [`embedded`] | a chain in the process |
//! | [`tx`] | what a transaction is: call, draft, fees, signed version |
//! | [`rpc`] | requests to endpoints that may be slow, away, or not what they say |
//! | [`backend`] | encoding, decoding and signing, by alloy or ethers-rs |
//! | [`transactions`] | one queue for each account: a state machine (`queue`), its `journal`, and the task that does what it decides |
//! | [`reader`], [`deployment`], [`accounts`], [`head_watch`] | the anchor contract, the accounts that a client acts as, the movement of the head |
//! | [`client`], [`access`], [`verifier`] | [`EvmClient`] and how it is started; [`ReceiptVerifier`] |
//! | [`anchors`], [`tokens`], [`operations`], [`operator_handover`], [`health`], [`account_health`] | the ports of `dm-core`, one in each file |
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the map is for those who read the source, too"
)]

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
mod head_watch;
mod health;
mod operations;
mod operator_handover;
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
pub use transactions::TransactionReading;
pub use verifier::ReceiptVerifier;
