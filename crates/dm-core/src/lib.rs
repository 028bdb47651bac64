#![doc = include_str!("../README.md")]

pub mod address;
pub mod address_record;
pub mod api_key;
pub mod bus;
pub mod clock;
pub mod config;
pub mod contact;
pub mod damage;
pub mod descriptor;
pub mod envelope;
pub mod event;
pub mod hash;
pub mod health;
pub mod idempotency;
pub mod journal;
pub mod mandate;
mod named_enum;
pub mod news;
pub mod node_attestation;
pub mod notice;
pub mod operation;
pub mod order;
pub mod payment;
pub mod peer;
pub mod plugin;
pub mod ports;
pub mod receipt;
pub mod secret;
pub mod share;
pub mod signed;
pub mod subscription;
pub mod tasks;
pub mod token;
pub mod trace;
pub mod user;

pub use alloy_primitives::{Address, B256, Signature, U256, keccak256};
