#![doc = include_str!("../README.md")]

mod claims;
mod discovery;
mod health;
mod http;
mod keys;
mod provider;
mod remembered;
mod token;

pub use provider::{OidcError, OidcProvider};
