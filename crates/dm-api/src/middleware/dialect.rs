//! Answers in the dialect of HTTP that the client speaks: without a body to `HEAD`,
//! and without chunks to HTTP/1.0.

use actix_web::{
    Error,
    body::{BodySize, BodyStream, BoxBody, MessageBody, SizedStream},
    dev::{ServiceRequest, ServiceResponse},
    http::{ConnectionType, Method, Version},
    middleware::Next,
};
use bytes::Bytes;
use futures::stream;

/// Has the request answered, and fits the answer's form to it.
pub(crate) async fn fit(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_head = request.method() == Method::HEAD;
    let is_old = request.version() < Version::HTTP_11;
    let mut response = next.call(request).await?;
    if is_old && response.response().body().size() == BodySize::Stream {
        let head = response.response_mut().head_mut();
        head.no_chunking(true);
        // The end of the connection is the end of the body.
        head.set_connection_type(ConnectionType::Close);
    }
    if is_head {
        response = response.map_body(|_, body| without_content(body));
    }
    Ok(response)
}

/// A body that is said to have the same length, of which nothing comes.
fn without_content(body: BoxBody) -> BoxBody {
    let nothing = stream::empty::<Result<Bytes, Error>>();
    match body.size() {
        BodySize::None => body,
        BodySize::Sized(size) => BoxBody::new(SizedStream::new(size, nothing)),
        BodySize::Stream => BoxBody::new(BodyStream::new(nothing)),
    }
}
