//! Whether something answers elsewhere in the network.

use std::time::Duration;

use reqwest::{Response, Url, header::DATE};
use tokio::net::TcpStream;

use super::clock::Reading;

/// How long anything may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a TCP connection to `host:port` and closes it.
///
/// # Errors
/// Why there is none, as text.
pub(super) async fn connect(host: &str, port: u16) -> Result<(), String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::time::timeout(PATIENCE, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("nothing answered within {} s", PATIENCE.as_secs())),
    }
}

/// Where a URL leads, without what may be secret in it: user, path and query.
pub(super) fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("?"))
}

/// Why a request got no answer, without its URL.
pub(super) fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What time it is there, as the head of an answer says.
pub(super) fn clock_of(place: String, answer: &Response) -> Option<Reading> {
    let there = seconds(answer.headers().get(DATE)?.to_str().ok()?)?;
    let here = jiff::Timestamp::now().as_second();
    Some(Reading {
        place,
        ahead_secs: here - there,
    })
}

/// The time of a `Date` header, in seconds since the Unix epoch.
fn seconds(date: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_answer_is_read() {
        assert_eq!(seconds("Thu, 01 Jan 2026 00:00:10 GMT"), Some(1_767_225_610));
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn a_place_shows_no_secret() {
        let url = Url::parse("https://user:pass@chain.example:8443/v3/KEY?token=T#F").unwrap();
        assert_eq!(place(&url), "https://chain.example:8443");
    }

    #[tokio::test]
    async fn what_does_not_listen_is_told_from_what_does() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(connect("127.0.0.1", port).await, Ok(()));
        drop(listener);
        assert!(connect("127.0.0.1", port).await.unwrap_err().contains("refused"));
    }
}
