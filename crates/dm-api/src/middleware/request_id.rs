//! Gives every request an id and every response its `X-Request-Id`.

use std::cell::Cell;

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
};

/// Longest id that is taken over from a client.
const MAX_LENGTH: usize = 128;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, among its extensions.
#[derive(Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Makes ids: a random prefix for the worker thread and a counter, so that no
/// two threads meet over it.
pub(crate) struct RequestIds {
    prefix: u64,
    made: Cell<u64>,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self {
            prefix: rand::random(),
            made: Cell::new(0),
        }
    }

    fn make(&self) -> HeaderValue {
        let number = self.made.get();
        self.made.set(number.wrapping_add(1));
        HeaderValue::from_str(&format!("{:016x}-{number:08x}", self.prefix))
            .unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

/// Takes the client's id over where it is usable, else makes one.
pub(crate) async fn assign(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = match request.headers().get(&X_REQUEST_ID) {
        Some(given) if is_usable(given) => given.clone(),
        _ => request
            .app_data::<RequestIds>()
            .map_or_else(|| HeaderValue::from_static("-"), RequestIds::make),
    };
    request.extensions_mut().insert(RequestId(id.clone()));
    with_header(next.call(request).await, X_REQUEST_ID, id)
}

/// Adds a header to an answer, or to that which an error becomes.
pub(super) fn with_header(
    answer: Result<ServiceResponse<BoxBody>, Error>,
    name: HeaderName,
    value: HeaderValue,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match answer {
        Ok(mut response) => {
            response.headers_mut().insert(name, value);
            Ok(response)
        }
        Err(mut error) => {
            error.add_response_mapper(move |mut response: HttpResponse| {
                response.headers_mut().insert(name.clone(), value.clone());
                response
            });
            Err(error)
        }
    }
}

/// Visible ASCII only: the id stands in logs and response headers.
fn is_usable(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=MAX_LENGTH).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_visible_ids_are_taken_over() {
        assert!(is_usable(&HeaderValue::from_static("trace-1/2")));
        assert!(is_usable(
            &HeaderValue::from_str(&"x".repeat(MAX_LENGTH)).unwrap()
        ));
        assert!(!is_usable(&HeaderValue::from_static("")));
        assert!(!is_usable(&HeaderValue::from_static("two words")));
        assert!(!is_usable(&HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap()));
        assert!(!is_usable(
            &HeaderValue::from_str(&"x".repeat(MAX_LENGTH + 1)).unwrap()
        ));
    }

    #[test]
    fn ids_differ() {
        let ids = RequestIds::new();
        assert_ne!(ids.make(), ids.make());
        assert_ne!(ids.make(), RequestIds::new().make());
    }
}
