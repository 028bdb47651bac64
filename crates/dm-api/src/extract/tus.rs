//! Headers of [tus 1.0](https://tus.io/protocols/resumable-upload), the protocol of uploads
//! that resume.

use std::{collections::BTreeMap, str::FromStr};

use actix_web::http::{
    StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::headers::header_text;
use crate::error::ApiError;

/// The version that is spoken here.
pub(crate) const VERSION: &str = "1.0.0";
/// What a body with bytes of an upload is.
pub(crate) const OFFSET_STREAM: &str = "application/offset+octet-stream";
/// Names of [`Checksum`]s that can be checked.
pub(crate) const CHECKSUMS: &str = "sha1,sha256";

pub(crate) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(crate) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(crate) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// Keys that the metadata of an upload may have.
const KEYS: [&str; 9] = [
    "recipients",
    "name",
    "media_type",
    "labels",
    "correlation_id",
    "supersedes",
    "expires_at",
    "payment_token",
    "payment_amount",
];

/// 412 for a request of another version of the protocol, or of none.
pub(crate) fn require_version(headers: &HeaderMap) -> Result<(), ApiError> {
    let version = header_text(headers, &TUS_RESUMABLE, "Tus-Resumable")?;
    if version.as_deref() == Some(VERSION) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "Tus-Resumable must be 1.0.0, the version of the protocol that this node speaks",
    )
    .with_header(TUS_VERSION, HeaderValue::from_static(VERSION)))
}

/// 415 where the body is not said to be bytes of an upload.
pub(crate) fn require_offset_stream(headers: &HeaderMap) -> Result<(), ApiError> {
    if is_offset_stream(headers) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Content-Type must be application/offset+octet-stream",
    ))
}

/// Whether the body is bytes of an upload.
pub(crate) fn is_offset_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(OFFSET_STREAM.as_bytes()))
}

/// Bytes that an upload shall have.
pub(crate) fn upload_length(headers: &HeaderMap) -> Result<u64, ApiError> {
    if headers.contains_key(&UPLOAD_DEFER_LENGTH) {
        return Err(ApiError::invalid(
            "Upload-Defer-Length",
            "is not supported: say with Upload-Length how long the upload is",
        ));
    }
    number(headers, &UPLOAD_LENGTH, "Upload-Length")
}

/// Where the bytes of a request begin.
pub(crate) fn upload_offset(headers: &HeaderMap) -> Result<u64, ApiError> {
    number(headers, &UPLOAD_OFFSET, "Upload-Offset")
}

fn number(headers: &HeaderMap, header: &HeaderName, name: &'static str) -> Result<u64, ApiError> {
    let text = header_text(headers, header, name)?.unwrap_or_default();
    // Parsing alone would take a sign.
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|number| *number <= i64::MAX as u64)
        .ok_or_else(|| ApiError::invalid(name, "must be a number of bytes"))
}

/// What is said of an upload when it begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata(BTreeMap<&'static str, String>);

impl Metadata {
    /// Of the `Upload-Metadata` header: keys, each with a blank and the Base64 of its value
    /// behind it, separated by commas.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let text = header_text(headers, &UPLOAD_METADATA, "Upload-Metadata")?;
        text.map_or_else(|| Ok(Self::default()), |text| text.parse())
    }

    /// What stands under a key.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }
}

impl FromStr for Metadata {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let refused = |reason: String| ApiError::invalid("Upload-Metadata", reason);
        let mut pairs = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            let (key, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
            let known = KEYS.into_iter().find(|known| *known == key).ok_or_else(|| {
                refused(format!(
                    "has a key other than {}, each with the Base64 of its value",
                    KEYS.join(", ")
                ))
            })?;
            let value = STANDARD.decode(encoded.trim()).ok();
            let value = value
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| refused(format!("{known} must be the Base64 of a text in UTF-8")))?;
            if pairs.insert(known, value).is_some() {
                return Err(refused(format!("has {known} twice")));
            }
        }
        Ok(Self(pairs))
    }
}

/// A checksum of a request's body, and what has come of that.
pub(crate) struct Checksum {
    hasher: Hasher,
    expected: Vec<u8>,
}

enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Checksum {
    /// Of the `Upload-Checksum` header: the name of a hash, a blank, and its value in Base64.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let text = header_text(headers, &UPLOAD_CHECKSUM, "Upload-Checksum")?;
        text.map(|text| text.parse()).transpose()
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(piece),
            Hasher::Sha256(hasher) => hasher.update(piece),
        }
    }

    /// Whether what has come has this checksum.
    pub(crate) fn fits(self) -> bool {
        match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize().as_slice() == self.expected,
            Hasher::Sha256(hasher) => hasher.finalize().as_slice() == self.expected,
        }
    }
}

impl FromStr for Checksum {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let form = "must be sha1 or sha256, a blank, and the hash of the body in Base64";
        let refused = || ApiError::invalid("Upload-Checksum", form);
        let (name, value) = text.split_once(' ').ok_or_else(refused)?;
        let (hasher, length) = match name {
            "sha1" => (Hasher::Sha1(Sha1::new()), 20),
            "sha256" => (Hasher::Sha256(Sha256::new()), 32),
            _ => return Err(refused()),
        };
        let expected = STANDARD.decode(value.trim()).ok();
        let expected = expected.filter(|value| value.len() == length);
        Ok(Self {
            hasher,
            expected: expected.ok_or_else(refused)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    fn metadata(text: &str) -> Result<Metadata, ApiError> {
        Metadata::of(&headers(&[("upload-metadata", text)]))
    }

    #[test]
    fn metadata_is_read_with_and_without_values() {
        // "näher.pdf", {"k":"v"}, and a name that is empty.
        let read = metadata("name bsOkaGVyLnBkZg==,labels eyJrIjoidiJ9 , correlation_id").unwrap();
        assert_eq!(read.get("name").unwrap(), "näher.pdf");
        assert_eq!(read.get("labels").unwrap(), r#"{"k":"v"}"#);
        assert_eq!(read.get("correlation_id").unwrap(), "");
        assert_eq!(read.get("recipients"), None);
        assert_eq!(metadata("").unwrap(), Metadata::default());
        assert_eq!(Metadata::of(&headers(&[])).unwrap(), Metadata::default());
    }

    #[test]
    fn hostile_metadata_is_refused_and_the_header_named() {
        for text in [
            ",",
            "name YQ==,",
            "name YQ==,name YQ==",
            "name YQ== YQ==",
            "name YQ",
            "name %",
            "name /w==",
            "Name YQ==",
            "filename YQ==",
            "name\tYQ==",
            "=",
        ] {
            let error = metadata(text).unwrap_err();
            assert_eq!(error.status_code(), 422, "{text}");
            assert!(error.to_string().starts_with("Upload-Metadata "), "{error}");
        }
        let twice = headers(&[("upload-metadata", "name YQ=="), ("upload-metadata", "name YQ==")]);
        assert!(Metadata::of(&twice).is_err());
    }

    proptest! {
        #[test]
        fn no_metadata_makes_the_parser_fail_otherwise(text in "[ -~]{0,200}") {
            if let Err(error) = metadata(&text) {
                prop_assert_eq!(error.status_code(), 422);
            }
        }
    }

    #[test]
    fn offsets_and_lengths_are_digits_alone() {
        let offset = |text| upload_offset(&headers(&[("upload-offset", text)]));
        assert_eq!(offset("0").unwrap(), 0);
        assert_eq!(offset("9223372036854775807").unwrap(), i64::MAX as u64);
        for text in [
            "",
            "-1",
            "+1",
            "1.0",
            "0x1",
            "1 1",
            "9223372036854775808",
            "18446744073709551616",
        ] {
            let error = offset(text).unwrap_err();
            assert_eq!(error.status_code(), 422, "{text}");
        }
        assert!(upload_offset(&headers(&[])).is_err());
        let deferred = headers(&[("upload-defer-length", "1"), ("upload-length", "1")]);
        assert_eq!(upload_length(&deferred).unwrap_err().status_code(), 422);
    }

    #[test]
    fn a_checksum_fits_its_bytes_alone() {
        let sums = [
            "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
        ];
        for text in sums {
            let check = |bytes: &[u8]| {
                let mut sum = text.parse::<Checksum>().unwrap();
                bytes.chunks(4).for_each(|piece| sum.update(piece));
                sum.fits()
            };
            assert!(check(b"hello world"), "{text}");
            assert!(!check(b"hello worle"));
        }
        for text in [
            "",
            "sha1",
            "md5 XrY7u+Ae7tCTyyK7j1rNww==",
            "sha1 Kq5s",
            "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        ] {
            let error = text.parse::<Checksum>().err().unwrap();
            assert_eq!(error.status_code(), 422, "{text}");
        }
    }

    #[test]
    fn another_version_of_the_protocol_is_told_which_one_is_spoken() {
        assert!(require_version(&headers(&[("tus-resumable", "1.0.0")])).is_ok());
        for other in [headers(&[]), headers(&[("tus-resumable", "0.2.2")])] {
            let response = require_version(&other).unwrap_err().error_response();
            assert_eq!(response.status(), 412);
            assert_eq!(response.headers().get(&TUS_VERSION).unwrap(), "1.0.0");
        }
    }
}
