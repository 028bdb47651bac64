#![doc = include_str!("../README.md")]

pub mod anchors;
pub mod api_keys;
pub mod authorizer;
pub mod catalog;
pub mod chain;
pub mod compliance;
pub mod crypto;
pub mod faults;
pub mod key_value;
pub mod money;
pub mod mortal;
pub mod network;
pub mod objects;
pub mod plot;
pub mod plugins;
pub mod signer;
