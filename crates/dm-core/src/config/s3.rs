//! What can be set about large objects in a bucket.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::Deserialize;

use crate::secret::SecretString;

/// How the store of `storage.objects_url` is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// URL of the store, where it is not AWS: `https://host:port`. With
    /// `path_style = false` it includes the name of the bucket.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: String,
    /// Whether the bucket stands in the path of a request and not in the name of the host.
    pub path_style: bool,
    /// Whether the endpoint may be reached without TLS.
    pub allow_http: bool,
    /// File with credentials, in the form of `~/.aws/credentials` (profile `default`). It is
    /// read again when it changes.
    pub credentials_file: Option<PathBuf>,
    /// Id of the access key, where there is no file.
    pub access_key_id: Option<String>,
    /// The access key.
    pub secret_access_key: Option<SecretString>,
    /// Token that belongs to a temporary access key.
    pub session_token: Option<SecretString>,
    /// Whether the metadata service of the machine (EC2) is asked for credentials where
    /// none are given.
    pub instance_metadata: bool,
    /// Bytes of each part of an object but the last one, 5 MiB to 64 MiB. A store takes at
    /// most 10,000 parts, so this limits the size of an object.
    pub part_bytes: u64,
    /// Seconds for which a request is tried again, 1 to 300.
    pub retry_timeout_secs: u64,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            path_style: true,
            allow_http: false,
            credentials_file: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            instance_metadata: false,
            part_bytes: 8 << 20,
            retry_timeout_secs: 20,
        }
    }
}

/// A place in a store: `s3://BUCKET` or `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectsUrl {
    /// Name of the bucket.
    pub bucket: String,
    /// What all keys begin with, without slashes around it; may be empty.
    pub prefix: String,
}

/// A text is no [`ObjectsUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be s3://BUCKET or s3://BUCKET/PREFIX, the prefix of a-z, A-Z, 0-9, `-`, `_`, `.` and single `/`"
)]
pub struct InvalidObjectsUrl;

impl FromStr for ObjectsUrl {
    type Err = InvalidObjectsUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = text.strip_prefix("s3://").ok_or(InvalidObjectsUrl)?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
        let is_prefix = prefix.is_empty() || prefix.split('/').all(is_segment);
        if !is_bucket || !is_prefix {
            return Err(InvalidObjectsUrl);
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

fn is_segment(text: &str) -> bool {
    let is_name = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_name && !["", ".", ".."].contains(&text)
}

impl fmt::Display for ObjectsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_and_a_prefix() {
        for (text, bucket, prefix) in [
            ("s3://data", "data", ""),
            ("s3://data/", "data", ""),
            ("s3://my.data-1/node/objects", "my.data-1", "node/objects"),
            ("s3://data/Node_1/", "data", "Node_1"),
        ] {
            let url: ObjectsUrl = text.parse().unwrap();
            assert_eq!((url.bucket.as_str(), url.prefix.as_str()), (bucket, prefix));
            assert_eq!(url.to_string().parse(), Ok(url));
        }
        for text in [
            "",
            "data",
            "s3://",
            "s3:///node",
            "https://data/node",
            "s3://Data/node",
            "s3://ab",
            "s3://data//node",
            "s3://data/../node",
            "s3://data/no de",
            "s3://data/node?x",
            "s3://key:secret@data/node",
        ] {
            assert_eq!(text.parse::<ObjectsUrl>(), Err(InvalidObjectsUrl), "{text}");
        }
    }
}
