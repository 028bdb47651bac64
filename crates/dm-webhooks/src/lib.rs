#![doc = include_str!("../README.md")]

mod client;
mod guard;
mod signature;

pub use client::{HttpWebhooks, WebhooksConfig};
