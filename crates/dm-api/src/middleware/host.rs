//! Keeps web pages in the operator's browser away from the internal API.
//!
//! A page can make a name of its own point to 127.0.0.1 (DNS rebinding) and
//! then read what it is answered. Its requests still name its own host, and
//! their `Origin` still is its own: both are refused. A certificate of the client is presented to
//! any page's requests, as cookies are: where it is the credential, no API lets a foreign page
//! change anything.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode, Uri,
        header::{self, HeaderMap, HeaderName},
        uri::Authority,
    },
    middleware::Next,
};

use crate::error::ApiError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What browsers say of the pages of a server itself, and of what a person has asked for.
const OWN_SITES: [&[u8]; 2] = [b"same-origin", b"none"];

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
        let host = named_host(headers).filter(|host| is_own_name(host, bound.ip(), allowed));
        if host.is_none() {
            return Err(foreign("Host"));
        }
        check_origin(headers, host.as_ref())
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

/// Refuses a request that changes something where the browser says that a page of somebody else has
/// made it. For requests whose credential is the client's certificate: browsers present that by
/// themselves, whoever has made the page. Programs send neither of these headers.
pub(super) fn refuse_foreign_page(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    if method.is_safe() {
        return Ok(());
    }
    if let Some(site) = headers.get(&SEC_FETCH_SITE)
        && !OWN_SITES.contains(&site.as_bytes())
    {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "Forbidden. The Sec-Fetch-Site header says that a page of another origin has made the request.",
        ));
    }
    check_origin(headers, named_host(headers).as_ref())
}

fn named_host(headers: &HeaderMap) -> Option<Authority> {
    header_text(headers, &header::HOST)?.parse().ok()
}

fn check_origin(headers: &HeaderMap, host: Option<&Authority>) -> Result<(), ApiError> {
    let is_own = |host| is_same_origin(headers, host);
    if headers.contains_key(header::ORIGIN) && !host.is_some_and(is_own) {
        return Err(foreign("Origin"));
    }
    Ok(())
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

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
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

    #[test]
    fn a_page_of_somebody_else_changes_nothing() {
        let allows = |method: Method, name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("node.example:8081"));
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            refuse_foreign_page(&method, &headers).is_ok()
        };
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "https://node.example"),
            ("origin", "https://user@node.example:8081"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!allows(Method::POST, name, value), "{name}: {value}");
            assert!(allows(Method::GET, name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("origin", "https://node.example:8081"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
            ("accept", "*/*"),
        ] {
            assert!(allows(Method::POST, name, value), "{name}: {value}");
        }
    }
}
