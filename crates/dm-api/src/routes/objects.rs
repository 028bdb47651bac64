//! `/objects`: data of any size as raw bytes, streamed in and out.

use std::{
    ops::Range,
    pin::{Pin, pin},
    time::Instant,
};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError,
    body::SizedStream,
    http::{
        Method, StatusCode,
        header::{self, HeaderName},
    },
    web::{Data, Payload},
};
use bytes::Bytes;
use dm_core::{
    api_key::Scope,
    descriptor::{Description, MediaType},
    hash::DataHash,
    share::ShareTerms,
};
use dm_services::{OpenObject, ServiceError, Upload};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::share_answer::{share_answer, shares_answer};
use crate::{
    disposition::attachment,
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        bearer, body_cut_off, body_stalled, data_hash_param,
        description::described_in_headers,
        idempotency_key,
        mandate::presented_in_headers,
        money::price_params,
        query,
        recipients::{NamedRecipients, Recipients},
        refuse_encoded_body, time_param, wants_explanation,
    },
    middleware::deadline::timed_out,
    notes::NoteHeaders,
    on_runtime::ServiceStream,
    range::{Part, is_known_to_client, requested_part},
    route_info::Access,
    state::State,
    uploads::UploadPace,
};

const RAW_BYTES: &str = "application/octet-stream";
/// Names the trace of a download, for `GET /retrievals/{id}`.
const RETRIEVAL: HeaderName = HeaderName::from_static("x-retrieval");

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/objects").on_streamed(Method::PUT, Access::Needs(Scope::Share), put));
    router.add(
        Endpoint::at("/objects/{data_hash}")
            .on(Method::HEAD, Access::Needs(Scope::Read), head)
            .on(Method::GET, Access::Needs(Scope::Read), get),
    );
}

#[derive(Deserialize)]
struct PutQuery {
    recipient: Option<String>,
    recipients: Option<String>,
    payment_token: Option<String>,
    payment_amount: Option<String>,
    expires_at: Option<String>,
}

async fn put(request: HttpRequest, body: Payload, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: PutQuery = query(&request)?;
    let recipients = NamedRecipients::in_query(asked.recipient.as_deref(), asked.recipients.as_deref())?;
    let recipients = recipients.addresses(&request, &state).await?;
    let terms = ShareTerms {
        idempotency_key: idempotency_key(&request)?,
        payment: price_params(asked.payment_token.as_deref(), asked.payment_amount.as_deref())?,
        expires_at: asked
            .expires_at
            .map(|text| time_param("expires_at", &text))
            .transpose()?,
        description: described_in_headers(request.headers())?,
        ..ShareTerms::with(recipients.first())
    };
    refuse_encoded_body(request.headers())?;
    let _place = state.uploads.take(&bearer(&request)?.key_id)?;
    // Before the body, so that nobody uploads for nothing.
    let presented = presented_in_headers(request.headers())?;
    recipients.ensure_fit_for("user_id", presented.is_some())?;
    let terms = state
        .run(state.services.authorization.admit(presented, terms))
        .await?;
    let upload = state.run(receive(&state, body, &terms)).await?;
    match recipients {
        Recipients::One(_) => {
            let outcome = finish(&state, upload.finish(terms)).await?;
            Ok(share_answer(&outcome))
        }
        Recipients::Several(several) => {
            let shares = upload.finish_with_each(several.terms(terms));
            let outcomes = finish(&state, shares).await?;
            Ok(shares_answer(several.outcomes(outcomes)))
        }
    }
}

/// Takes the body no faster than it can be stored. An upload that does not come to its
/// end is dropped, which leaves nothing of it.
async fn receive(state: &State, mut body: Payload, terms: &ShareTerms) -> Result<Upload, ApiError> {
    let mut upload = state.services.data.begin_upload().await?;
    {
        let mut pace = state.uploads.pace(state.limits.idle);
        let mut lost = pin!(state.services.authorization.lost(terms));
        while let Some(piece) = next_piece(&mut body, &mut pace, lost.as_mut()).await? {
            upload.write(piece).await?;
        }
    }
    Ok(upload)
}

/// Shares what has arrived, for which a request has as long as one without a body.
async fn finish<T>(
    state: &State,
    shares: impl Future<Output = Result<T, ServiceError>>,
) -> Result<T, ApiError> {
    let shares = state.run(tokio::time::timeout(state.limits.request, shares));
    Ok(shares.await.map_err(|_| timed_out())??)
}

/// The next piece of the body, if it comes fast enough, and before the authority of the
/// user who orders the share is lost.
async fn next_piece(
    body: &mut Payload,
    pace: &mut UploadPace,
    lost: Pin<&mut impl Future<Output = ServiceError>>,
) -> Result<Option<Bytes>, ApiError> {
    let began = Instant::now();
    let piece = tokio::select! {
        biased;
        error = lost => return Err(error.into()),
        piece = body.next() => piece.transpose().map_err(body_cut_off)?,
        () = tokio::time::sleep(pace.patience()) => return Err(body_stalled()),
    };
    pace.note(piece.as_ref().map_or(0, Bytes::len), began);
    Ok(piece)
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let explains = wants_explanation(&request)?;
    let object = state.run(state.services.data.open(&hash)).await?;
    let etag = etag(&hash);
    if is_known_to_client(request.headers(), &etag) {
        return Ok(not_modified(&etag));
    }
    let size = object.size();
    let description = described_by_owner(&object);
    let notes = NoteHeaders::of(object.notes());
    let retrieval = explains.then(|| object.remembered());
    let described = |status| {
        let mut response = described(status, &etag, &description);
        notes.add_to(&mut response);
        if let Some(id) = &retrieval {
            response.insert_header((RETRIEVAL, id.as_str()));
        }
        response
    };
    match requested_part(request.headers(), &etag, size) {
        Part::Unsatisfiable => Ok(range_not_satisfiable(size)),
        Part::Whole => send(&state, object, 0..size, described(StatusCode::OK)).await,
        Part::Range(range) => {
            let mut response = described(StatusCode::PARTIAL_CONTENT);
            let last = range.end.saturating_sub(1);
            response.insert_header((
                header::CONTENT_RANGE,
                format!("bytes {}-{last}/{size}", range.start),
            ));
            send(&state, object, range, response).await
        }
    }
}

async fn head(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let object = state.run(state.services.data.open(&hash)).await?;
    let etag = etag(&hash);
    if is_known_to_client(request.headers(), &etag) {
        return Ok(not_modified(&etag));
    }
    let nothing = stream::empty::<Result<_, ServiceError>>();
    let mut response = described(StatusCode::OK, &etag, &described_by_owner(&object));
    NoteHeaders::of(object.notes()).add_to(&mut response);
    Ok(response.body(SizedStream::new(object.size(), nothing)))
}

/// Streams a part of an object. The first piece is awaited before the head is
/// sent, so that what fails at once still gets its own status.
async fn send(
    state: &State,
    object: OpenObject,
    range: Range<u64>,
    mut response: HttpResponseBuilder,
) -> Result<HttpResponse, ApiError> {
    let length = range.end - range.start;
    let runtime = state.runtime().clone();
    let pieces = {
        let _entered = runtime.enter();
        object.read(range)
    };
    let mut pieces = ServiceStream::new(runtime, pieces);
    let first = pieces.next().await.transpose()?;
    let body = stream::iter(first.map(Ok))
        .chain(pieces)
        .inspect_err(|error| tracing::warn!(%error, "a download was cut off"));
    Ok(response.body(SizedStream::new(length, body)))
}

/// What the owner says of the object; nothing where it says nothing.
fn described_by_owner(object: &OpenObject) -> Description {
    object
        .descriptor()
        .map_or_else(Description::default, |descriptor| descriptor.description)
}

/// The head of an answer with bytes of an object. They come from somebody else: no browser
/// is to show them as a page of this node, or as something else than the owner says.
fn described(status: StatusCode, etag: &str, description: &Description) -> HttpResponseBuilder {
    let media_type = description
        .media_type
        .as_ref()
        .map_or(RAW_BYTES, MediaType::as_str);
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CONTENT_TYPE, media_type))
        .insert_header((header::CONTENT_DISPOSITION, attachment(description.name.as_ref())))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::ETAG, etag))
        .insert_header((header::ACCEPT_RANGES, "bytes"));
    response
}

fn not_modified(etag: &str) -> HttpResponse {
    HttpResponse::NotModified()
        .insert_header((header::ETAG, etag))
        .finish()
}

fn range_not_satisfiable(size: u64) -> HttpResponse {
    let sentence = format!("the Range header asks for nothing that is in the {size} bytes of this object");
    let mut response = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, sentence).error_response();
    if let Ok(value) = format!("bytes */{size}").parse() {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

fn etag(hash: &DataHash) -> String {
    format!("\"{hash}\"")
}
