//! Keeps web pages in the operator's browser away from the internal API.
//!
//! A page can make a name of its own point to 127.0.0.1 (DNS rebinding) and
//! then read what it is answered. Its requests still name its own host, and
//! their `Origin` still is its own: both are refused.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode, Uri,
        header::{self, HeaderMap},
        uri::Authority,
    },
    middleware::Next,
};

use crate::error::ApiError;

/// Under which names a server may be called.
#[derive(Clone)]
pub(crate) enum AllowedHosts {
    /// Under any: the API is meant for the world.
    Any,
    /// Under loopback names, the address it listens on, and these.
    Only {
        bound: SocketAddr,
        allowed: Arc<[String]>,
    },
}

impl AllowedHosts {
    fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Self::Only { bound, allowed } = self else {
            return Ok(());
        };
        let host = header_text(headers, &header::HOST).and_then(|text| text.parse::<Authority>().ok());
        let Some(host) = host.filter(|host| is_own_name(host, bound.ip(), allowed)) else {
            return Err(foreign("Host"));
        };
        if headers.contains_key(header::ORIGIN) && !is_same_origin(headers, &host) {
            return Err(foreign("Origin"));
        }
        Ok(())
    }
}

/// Refuses requests that a page of somebody else has made.
pub(crate) async fn check(
    policy: AllowedHosts,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    policy.check(request.headers())?;
    next.call(request).await
}

fn is_own_name(host: &Authority, bound: IpAddr, allowed: &[String]) -> bool {
    let name = host.host();
    if name.eq_ignore_ascii_case("localhost") || allowed.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return true;
    }
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<IpAddr>() {
        // Listening everywhere, every address that leads here is its own; a
        // rebound name is no address.
        Ok(address) if bound.is_unspecified() => !address.is_unspecified(),
        Ok(address) => address.is_loopback() || address == bound,
        Err(_) => false,
    }
}

fn is_same_origin(headers: &HeaderMap, host: &Authority) -> bool {
    header_text(headers, &header::ORIGIN)
        .and_then(|text| text.parse::<Uri>().ok())
        .and_then(|origin| origin.into_parts().authority)
        .is_some_and(|origin| origin.as_str().eq_ignore_ascii_case(host.as_str()))
}

fn header_text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn foreign(header: &str) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        format!("Forbidden. The {header} header does not name this node."),
    )
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn allows(bound: &str, host: &'static str, origin: Option<&'static str>) -> bool {
        let policy = AllowedHosts::Only {
            bound: bound.parse().unwrap(),
            allowed: ["node.internal".to_owned()].as_slice().into(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        policy.check(&headers).is_ok()
    }

    #[test]
    fn own_names_are_accepted() {
        for host in [
            "127.0.0.1:8080",
            "localhost",
            "LOCALHOST:8080",
            "[::1]:8080",
            "node.internal:80",
        ] {
            assert!(allows("127.0.0.1:8080", host, None), "{host}");
        }
        assert!(allows("192.168.1.5:8080", "192.168.1.5:8080", None));
        assert!(allows("0.0.0.0:8080", "192.168.1.5:8080", None));
    }

    #[test]
    fn foreign_names_are_refused() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.9",
            "",
            "a b",
            "localhost.evil.example",
        ] {
            assert!(!allows("127.0.0.1:8080", host, None), "{host}");
        }
        assert!(!allows("0.0.0.0:8080", "evil.example:8080", None));
        assert!(!allows("0.0.0.0:8080", "0.0.0.0:8080", None));
    }

    #[test]
    fn only_the_own_origin_is_accepted() {
        let host = "localhost:8080";
        assert!(allows("127.0.0.1:8080", host, Some("http://localhost:8080")));
        for origin in [
            "https://evil.example",
            "http://localhost:3000",
            "null",
            "",
            "http://",
            "localhost:8080/x",
        ] {
            assert!(!allows("127.0.0.1:8080", host, Some(origin)), "{origin}");
        }
    }
}
