//! Stores with the interface of S3: a real server, a double that can be told to break its
//! promises, and a proxy that troubles the requests to either.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod double;
mod http;
mod moto;
mod proxy;
mod server;

use dm_core::{
    config::{S3Config, StorageConfig},
    secret::SecretString,
};

pub use double::{Lie, S3Double};
pub use moto::Moto;
pub use proxy::{FaultProxy, Seen, Trouble};

/// The settings of a store whose large objects are in a bucket at this endpoint.
pub fn storage_config(endpoint: &str, objects_url: &str) -> StorageConfig {
    StorageConfig {
        objects_url: Some(objects_url.to_owned()),
        cache_bytes: 1 << 20,
        s3: S3Config {
            endpoint: Some(endpoint.to_owned()),
            allow_http: true,
            access_key_id: Some("test".to_owned()),
            secret_access_key: Some(SecretString::new("test")),
            part_bytes: 5 << 20,
            ..S3Config::default()
        },
        ..StorageConfig::default()
    }
}
