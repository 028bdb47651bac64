//! What a plugin may ask for.

use std::{fmt, str::FromStr};

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Something that a plugin may do when its manifest names it and the operator
/// grants it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Permission {
    /// `content`: see the data of shares.
    Content,
    /// `node.health`: ask how the node is.
    NodeHealth,
    /// `node.verify`: ask what is known of a share.
    NodeVerify,
    /// `https://host`, `http://host:port`: send HTTP requests there. Held in
    /// the form of [`Url::origin`].
    Connect(String),
}

/// The text names no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no permission `{0}`; there are `content`, `node.health`, `node.verify`, and origins such as `https://hooks.example.org`"
)]
pub struct InvalidPermission(String);

impl FromStr for Permission {
    type Err = InvalidPermission;

    fn from_str(text: &str) -> Result<Self, InvalidPermission> {
        match text {
            "content" => Ok(Self::Content),
            "node.health" => Ok(Self::NodeHealth),
            "node.verify" => Ok(Self::NodeVerify),
            origin => parse_origin(origin)
                .map(Self::Connect)
                .ok_or_else(|| InvalidPermission(text.chars().take(200).collect())),
        }
    }
}

/// An origin and nothing more.
fn parse_origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        // No wildcards: a host of this name is nobody's.
        && !text.contains('*');
    (is_bare && matches!(url.scheme(), "http" | "https")).then(|| url.origin().ascii_serialization())
}

impl TryFrom<String> for Permission {
    type Error = InvalidPermission;

    fn try_from(text: String) -> Result<Self, InvalidPermission> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.to_string()
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Content => "content",
            Self::NodeHealth => "node.health",
            Self::NodeVerify => "node.verify",
            Self::Connect(origin) => origin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_same_however_it_is_written() {
        let expected = Permission::Connect("https://hooks.example.org".to_owned());
        for text in [
            "https://hooks.example.org",
            "https://HOOKS.example.org:443/",
            "HTTPS://hooks.example.org",
        ] {
            assert_eq!(text.parse(), Ok(expected.clone()), "{text}");
        }
        assert_ne!("http://hooks.example.org".parse(), Ok(expected.clone()));
        assert_ne!("https://hooks.example.org:8443".parse(), Ok(expected));
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_no_permission() {
        for text in [
            "",
            "everything",
            "node.",
            "*",
            "https://",
            "https://*",
            "https://a.org/path",
            "https://a.org/?q",
            "https://a.org/#f",
            "https://user@a.org",
            "file:///etc/passwd",
            "ftp://a.org",
            "a.org",
        ] {
            assert!(text.parse::<Permission>().is_err(), "{text}");
        }
    }
}
