//! The name of a route, by which a key is narrowed to it.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// Longest name in characters; the routes of the node are far shorter.
const MAX_LENGTH: usize = 200;

/// A method and the pattern of a path, such as `GET /data/{data_hash}`. The
/// name of a `GET` stands for the `HEAD` of the same path, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteName(String);

impl RouteName {
    /// The name of the route with this method and pattern.
    pub fn of(method: &str, pattern: &str) -> Self {
        let method = if method == "HEAD" { "GET" } else { method };
        Self(format!("{method} {pattern}"))
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RouteName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The text names no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must name routes by method and path, such as `GET /data/{{data_hash}}`")]
pub struct InvalidRouteName;

impl FromStr for RouteName {
    type Err = InvalidRouteName;

    /// Reads a method of capital letters, one blank, and a path of visible
    /// ASCII characters without a comma. Whether there is such a route is known
    /// to whoever serves it.
    fn from_str(text: &str) -> Result<Self, InvalidRouteName> {
        let text = text.trim();
        let (method, path) = text.split_once(' ').ok_or(InvalidRouteName)?;
        let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_path =
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if is_method && is_path && text.len() <= MAX_LENGTH {
            Ok(Self::of(method, path))
        } else {
            Err(InvalidRouteName)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_route_is_named_by_method_and_path() {
        let name: RouteName = " GET /data/{data_hash} ".parse().unwrap();
        assert_eq!(name.as_str(), "GET /data/{data_hash}");
        assert_eq!("HEAD /objects".parse(), Ok(RouteName::of("GET", "/objects")));
        for text in [
            "",
            "GET",
            "GET ",
            "/data",
            "get /data",
            "GET data",
            "GET  /data",
            "GET /a,POST /b",
            "GET /a b",
            "GET /\u{e4}",
        ] {
            assert_eq!(text.parse::<RouteName>(), Err(InvalidRouteName), "{text}");
        }
        assert!(
            format!("GET /{}", "a".repeat(MAX_LENGTH))
                .parse::<RouteName>()
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "\\PC{0,40}|[A-Z]{1,5} /[a-z{}_/,]{0,20}") {
            if let Ok(name) = text.parse::<RouteName>() {
                prop_assert_eq!(name.as_str().parse(), Ok(name));
            }
        }
    }
}
