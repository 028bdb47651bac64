//! `GET /backup`: a copy of the running node.

use std::convert::Infallible;

use actix_web::{
    HttpResponse,
    http::{Method, header},
    web::Data,
};
use bytes::Bytes;
use dm_core::api_key::Scope;
use futures::{TryStreamExt, stream};

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    route_info::Access,
    state::State,
};

/// The media type of a tar archive.
const TAR: &str = "application/x-tar";

pub(super) fn add(router: &mut Router) {
    router.add(
        Endpoint::at("/backup")
            .on(Method::HEAD, Access::Needs(Scope::Admin), head)
            .on(Method::GET, Access::Needs(Scope::Admin), get),
    );
}

/// What a backup would come with; none is made.
async fn head() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, TAR))
        .streaming(stream::empty::<Result<Bytes, Infallible>>())
}

/// Streams the archive; where it breaks off, its last entry is missing.
async fn get(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let pieces = state.run(state.services.backups.begin()).await?;
    let body = pieces.inspect_err(|error| tracing::warn!(%error, "a backup was cut off"));
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, TAR))
        .streaming(body))
}
