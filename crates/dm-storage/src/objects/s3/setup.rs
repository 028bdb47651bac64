//! The store by its settings, and the keys in it.

use std::{sync::Arc, time::Duration};

use dm_core::{
    config::{ObjectsUrl, S3Config},
    ports::StoreError,
};
use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};

use super::credentials::CredentialsFile;
use crate::{error::failed, objects::record::BodyId};

/// How long a connection may take to come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// The store of these settings.
///
/// # Errors
/// Where a setting cannot be used, or the file of credentials cannot be read.
pub(super) fn store(url: &ObjectsUrl, config: &S3Config) -> Result<AmazonS3, StoreError> {
    // `Client` has the time limits, and makes requests again.
    let options = ClientOptions::new()
        .with_allow_http(config.allow_http)
        .with_connect_timeout(CONNECT_PATIENCE)
        .with_timeout_disabled();
    let retry = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_retry(retry)
        .with_bucket_name(&url.bucket)
        .with_region(&config.region)
        .with_virtual_hosted_style_request(!config.path_style)
        // Not every store knows the request that deletes many at once.
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    with_credentials(builder, config)?.build().map_err(failed)
}

fn with_credentials(builder: AmazonS3Builder, config: &S3Config) -> Result<AmazonS3Builder, StoreError> {
    if let Some(path) = &config.credentials_file {
        let file = CredentialsFile::new(path.clone());
        file.credential().map_err(failed)?;
        return Ok(builder.with_credentials(Arc::new(file)));
    }
    if let (Some(id), Some(secret)) = (&config.access_key_id, &config.secret_access_key) {
        let builder = builder
            .with_access_key_id(id)
            .with_secret_access_key(secret.expose());
        return Ok(match &config.session_token {
            Some(token) => builder.with_token(token.expose()),
            None => builder,
        });
    }
    if config.instance_metadata {
        return Ok(builder);
    }
    Err(failed(
        "there are no credentials for storage.objects_url: set storage.s3.credentials_file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ))
}

/// The keys of a bucket.
pub(super) struct Keys {
    prefix: Path,
}

impl Keys {
    pub(super) fn of(url: &ObjectsUrl) -> Result<Self, StoreError> {
        let prefix = Path::parse(&url.prefix).map_err(failed)?;
        Ok(Self { prefix })
    }

    pub(super) fn marker(&self) -> Path {
        self.prefix.clone().join("store.json")
    }

    pub(super) fn probes(&self) -> Path {
        self.prefix.clone().join("probe")
    }

    /// What is written to see whether the store takes anything.
    pub(super) fn health_probe(&self) -> Path {
        self.probes().join("health")
    }

    pub(super) fn bodies(&self) -> Path {
        self.prefix.clone().join("bodies")
    }

    /// The key of a body. Bodies that are written one after the other begin differently:
    /// stores keep ranges of keys together.
    pub(super) fn body(&self, body: BodyId) -> Path {
        let spread = format!("{:02x}", body.number & 0xff);
        let name = format!("{:032x}", u128::from_be_bytes(body.to_bytes()));
        self.bodies().join(spread).join(name)
    }

    /// The body under a key.
    pub(super) fn parse_body(&self, key: &Path) -> Option<BodyId> {
        let name = key.filename().filter(|name| name.len() == 32)?;
        let body = BodyId::from_bytes(u128::from_str_radix(name, 16).ok()?.to_be_bytes());
        (self.body(body) == *key).then_some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_back_to_its_body() {
        for prefix in ["", "/node/objects"] {
            let url = format!("s3://bucket{prefix}").parse().unwrap();
            let keys = Keys::of(&url).unwrap();
            let body = BodyId {
                epoch: 3,
                number: 0x1_02ab,
            };
            let key = keys.body(body);
            assert!(
                key.as_ref()
                    .ends_with("bodies/ab/000000000000000300000000000102ab"),
                "{key}"
            );
            assert_eq!(keys.parse_body(&key), Some(body));
            for other in [
                "bodies/00/000000000000000300000000000102ab",
                "bodies/ab/x",
                "store.json",
            ] {
                assert_eq!(keys.parse_body(&Path::from(other)), None);
            }
        }
    }
}
