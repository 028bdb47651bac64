//! What the answer of a store means for what was asked.

use dm_core::ports::StoreError;

/// Longest part of an answer that is shown.
const MAX_SHOWN: usize = 300;
/// Codes of answers that other credentials, or a right clock, make good: these may come
/// while the file of credentials is being replaced.
const EXPIRED: [&str; 9] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];
/// Codes of answers that do not change when the same is asked again.
const PERMANENT: [&str; 15] = [
    "AccessDenied",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "EntityTooLarge",
    "EntityTooSmall",
    "IllegalLocationConstraintException",
    "InvalidArgument",
    "InvalidBucketName",
    "InvalidPart",
    "InvalidRequest",
    "MalformedXML",
    "MethodNotAllowed",
    "NoSuchBucket",
    "NotImplemented",
    "PermanentRedirect",
];
/// Codes of a store that takes nothing more.
const FULL: [&str; 4] = [
    "InsufficientStorage",
    "QuotaExceeded",
    "StorageFull",
    "XMinioStorageFull",
];

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no object under the key.
    Missing,
    /// The object ends before the range begins.
    BeyondEnd,
    /// There is no such upload, or no more.
    NoUpload,
    /// The store takes nothing more.
    Full,
    /// It is of no use to ask again.
    Permanent(String),
    /// It may be answered later.
    Passing(String),
}

impl Fault {
    /// What an error means.
    pub(super) fn of(error: &object_store::Error) -> Self {
        use object_store::Error;
        let text = error.to_string();
        let code = code(&text).unwrap_or_default();
        let shown = shown(&text);
        match error {
            _ if code == "NoSuchKey" => Self::Missing,
            _ if code == "NoSuchUpload" => Self::NoUpload,
            _ if code == "InvalidRange" || text.contains("code: 416") => Self::BeyondEnd,
            _ if FULL.contains(&code) || text.contains("code: 507") => Self::Full,
            _ if EXPIRED.contains(&code) => Self::Passing(shown),
            _ if PERMANENT.contains(&code) => Self::Permanent(shown),
            _ if text.contains("non-partial response") => {
                Self::Permanent("it answers the request for a part with the whole".to_owned())
            }
            Error::NotFound { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. } => Self::Permanent(shown),
            _ if text.contains("redirect without LOCATION") => Self::Permanent(shown),
            _ => Self::Passing(shown),
        }
    }

    /// Whether it is of use to ask again.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Passing(_))
    }

    /// Whether the store is not as it should be, and not only what was asked for.
    pub(super) fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Passing(_) | Self::Permanent(_) | Self::Full)
    }

    /// Why, for people.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Missing => "there is no object under the key",
            Self::BeyondEnd => "the object is shorter than expected",
            Self::NoUpload => "the upload is not known",
            Self::Full => "it takes nothing more",
            Self::Permanent(reason) | Self::Passing(reason) => reason,
        }
    }

    /// As the store answers for it.
    pub(super) fn into_store_error(self, url: &str) -> StoreError {
        match self {
            Self::Full => StoreError::Full,
            fault => StoreError::Unavailable(format!("{url}: {}", fault.reason())),
        }
    }
}

/// The code in an answer in XML.
fn code(text: &str) -> Option<&str> {
    element(text, "Code")
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value)
}

/// What of an error is shown: code and message of the answer, else its beginning.
fn shown(text: &str) -> String {
    let shown = match (code(text), element(text, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => text.to_owned(),
    };
    let one_line: Vec<&str> = shown.split_whitespace().collect();
    one_line.join(" ").chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Fault {
        Fault::of(&object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        })
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let answer = |code: &str| generic(&format!("400: <Error><Code>{code}</Code></Error>"));
        for code in EXPIRED
            .iter()
            .chain(&["InternalError", "SlowDown", "ServiceUnavailable"])
        {
            assert!(answer(code).may_pass(), "{code}");
        }
        for code in PERMANENT {
            assert_eq!(answer(code), Fault::Permanent(code.to_owned()));
        }
        for code in FULL {
            assert_eq!(answer(code), Fault::Full);
        }
        assert_eq!(answer("NoSuchKey"), Fault::Missing);
        assert_eq!(answer("InvalidRange"), Fault::BeyondEnd);
        assert!(generic("connection refused").may_pass());
    }

    #[test]
    fn a_bucket_that_is_missing_is_no_missing_object() {
        let not_found = |text: &str| {
            Fault::of(&object_store::Error::NotFound {
                path: "a".to_owned(),
                source: text.to_owned().into(),
            })
        };
        let key = "<Error><Code>NoSuchKey</Code><Message>no key</Message></Error>";
        assert_eq!(not_found(key), Fault::Missing);
        let bucket = "<Error><Code>NoSuchBucket</Code><Message>It is\ngone</Message></Error>";
        assert_eq!(
            not_found(bucket),
            Fault::Permanent("NoSuchBucket: It is gone".to_owned())
        );
        assert!(matches!(not_found("a page of a proxy"), Fault::Permanent(_)));
    }
}
