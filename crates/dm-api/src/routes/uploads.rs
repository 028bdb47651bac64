//! `/uploads`: uploads that resume, by [tus 1.0](https://tus.io/protocols/resumable-upload)
//! with the extensions creation, creation-with-upload, expiration, termination and checksum.

use std::{
    future::Future,
    time::{Duration, Instant, UNIX_EPOCH},
};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue, HttpDate},
    },
    web::{Data, Payload},
};
use bytes::Bytes;
use dm_core::{api_key::Scope, share::ShareTerms, upload::UploadId};
use dm_services::{Counts, UploadError, UploadOutcome, UploadProgress, UploadWriter};
use futures::StreamExt;
use serde_json::json;

use super::share_answer::{share_answer, shares_answer};
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        bearer, body_cut_off, body_stalled,
        description::described_in_metadata,
        idempotency_key,
        mandate::presented_in_headers,
        money::price_params,
        recipients::{NamedRecipients, SeveralRecipients},
        refuse_encoded_body, time_param,
        tus::{
            CHECKSUMS, Checksum, Metadata, TUS_RESUMABLE, TUS_VERSION, UPLOAD_LENGTH, UPLOAD_OFFSET, VERSION,
            is_offset_stream, require_offset_stream, require_version, upload_length, upload_offset,
        },
    },
    middleware::deadline::timed_out,
    route_info::Access,
    state::State,
    uploads::UploadPace,
};

const EXTENSIONS: &str = "creation,creation-with-upload,expiration,termination,checksum";
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

const SHARE: Access = Access::Needs(Scope::Share);

pub(super) fn add(router: &mut Router) {
    router.add(
        Endpoint::at("/uploads")
            .on(Method::OPTIONS, SHARE, options)
            .on_streamed(Method::POST, SHARE, create),
    );
    router.add(
        Endpoint::at("/uploads/{id}")
            .on(Method::HEAD, SHARE, head)
            .on_streamed(Method::PATCH, SHARE, patch)
            .on_streamed(Method::POST, SHARE, overridden)
            .on(Method::DELETE, SHARE, delete)
            .on(Method::GET, SHARE, get),
    );
}

/// What of the protocol is spoken here.
async fn options(state: Data<State>) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((TUS_RESUMABLE, VERSION))
        .insert_header((TUS_VERSION, VERSION))
        .insert_header((TUS_EXTENSION, EXTENSIONS))
        .insert_header((TUS_MAX_SIZE, state.services.data.uploads().max_size()))
        .insert_header((TUS_CHECKSUM_ALGORITHM, CHECKSUMS))
        .finish()
}

async fn create(request: HttpRequest, body: Payload, state: Data<State>) -> Result<HttpResponse, ApiError> {
    spoken(begin(&request, body, &state)).await
}

async fn begin(request: &HttpRequest, mut body: Payload, state: &State) -> Result<HttpResponse, ApiError> {
    require_version(request.headers())?;
    let length = upload_length(request.headers())?;
    let checksum = Checksum::of(request.headers())?;
    let terms = terms(request, state).await?;
    let has_bytes = is_offset_stream(request.headers());
    if !has_bytes {
        let mut pace = state.uploads.pace(state.limits.idle);
        let piece = next_piece(&mut body, &mut pace).await?;
        if piece.is_some_and(|piece| !piece.is_empty()) {
            require_offset_stream(request.headers())?;
        }
    }
    let key_id = bearer(request)?.key_id;
    let uploads = state.services.data.uploads();
    let mut progress = state.run(uploads.begin(&key_id, length, &terms)).await?;
    // Relative to this resource, whatever a proxy has put before its path.
    let location = format!("uploads/{}", progress.id);
    if has_bytes {
        let place = (progress.id, progress.offset);
        let taken = take(request, body, state, place, checksum).await;
        progress = taken.map_err(|error| error.with_header(header::LOCATION, text_value(&location)))?;
    }
    let mut response = answer(StatusCode::CREATED, &progress);
    response.insert_header((header::LOCATION, location));
    Ok(response.finish())
}

/// What the data is to be shared for, for each share.
async fn terms(request: &HttpRequest, state: &State) -> Result<Vec<ShareTerms>, ApiError> {
    let metadata = Metadata::of(request.headers())?;
    let recipients = NamedRecipients::in_metadata(&metadata)?;
    let recipients = recipients.addresses(request, state).await?;
    let price = price_params(
        metadata.get("payment_token").as_deref(),
        metadata.get("payment_amount").as_deref(),
    )?;
    let terms = ShareTerms {
        idempotency_key: idempotency_key(request)?,
        payment: price,
        expires_at: metadata
            .get("expires_at")
            .map(|text| time_param("expires_at", &text))
            .transpose()?,
        description: described_in_metadata(&metadata)?,
        ..ShareTerms::with(recipients.first())
    };
    let presented = presented_in_headers(request.headers())?;
    recipients.ensure_fit_for("user_id", presented.is_some())?;
    let admitted = state.services.authorization.admit(presented, terms);
    Ok(recipients.terms_of_each(state.run(admitted).await?))
}

async fn head(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    spoken(async {
        require_version(request.headers())?;
        let (key_id, id) = (bearer(&request)?.key_id, upload_id(&request)?);
        let progress = state
            .run(state.services.data.uploads().progress(&key_id, id))
            .await?;
        let mut response = answer(StatusCode::OK, &progress);
        response
            .insert_header((UPLOAD_LENGTH, progress.length))
            .insert_header((header::CACHE_CONTROL, "no-store"));
        Ok(response.finish())
    })
    .await
}

async fn patch(request: HttpRequest, body: Payload, state: Data<State>) -> Result<HttpResponse, ApiError> {
    spoken(append(&request, body, &state)).await
}

async fn append(request: &HttpRequest, body: Payload, state: &State) -> Result<HttpResponse, ApiError> {
    require_version(request.headers())?;
    require_offset_stream(request.headers())?;
    let offset = upload_offset(request.headers())?;
    let checksum = Checksum::of(request.headers())?;
    let place = (upload_id(request)?, offset);
    let progress = take(request, body, state, place, checksum).await?;
    Ok(answer(StatusCode::NO_CONTENT, &progress).finish())
}

/// Takes the body of a request, no faster than it can be stored. What has come of one that
/// breaks off counts, unless it has a checksum.
async fn take(
    request: &HttpRequest,
    mut body: Payload,
    state: &State,
    (id, offset): (UploadId, u64),
    mut checksum: Option<Checksum>,
) -> Result<UploadProgress, ApiError> {
    refuse_encoded_body(request.headers())?;
    let counts = match checksum {
        Some(_) => Counts::AsAWhole,
        None => Counts::InParts,
    };
    let key_id = bearer(request)?.key_id;
    let _place = state.uploads.take(&key_id)?;
    let uploads = state.services.data.uploads();
    let mut writer = state.run(uploads.write(&key_id, id, offset, counts)).await?;
    let mut pace = state.uploads.pace(state.limits.idle);
    while let Some(piece) = next_piece(&mut body, &mut pace).await? {
        if let Some(checksum) = &mut checksum {
            checksum.update(&piece);
        }
        state.run(writer.write(piece)).await?;
    }
    if checksum.is_some_and(|checksum| !checksum.fits()) {
        state.run(writer.discard()).await?;
        return Err(wrong_checksum());
    }
    finish(state, writer).await
}

async fn finish(state: &State, writer: UploadWriter) -> Result<UploadProgress, ApiError> {
    let finished = tokio::time::timeout(state.limits.request, state.run(writer.finish())).await;
    Ok(finished.map_err(|_| timed_out())??)
}

/// The next piece of the body, if it comes fast enough.
async fn next_piece(body: &mut Payload, pace: &mut UploadPace) -> Result<Option<Bytes>, ApiError> {
    let began = Instant::now();
    let piece = tokio::time::timeout(pace.patience(), body.next()).await;
    let piece = piece
        .map_err(|_| body_stalled())?
        .transpose()
        .map_err(body_cut_off)?;
    pace.note(piece.as_ref().map_or(0, Bytes::len), began);
    Ok(piece)
}

/// A method that the client's surroundings do not let it send.
async fn overridden(
    request: HttpRequest,
    body: Payload,
    state: Data<State>,
) -> Result<HttpResponse, ApiError> {
    let method = request.headers().get(&METHOD_OVERRIDE);
    match method.map(HeaderValue::as_bytes) {
        Some(b"PATCH") => patch(request, body, state).await,
        Some(b"DELETE") => delete(request, state).await,
        _ => Err(ApiError::invalid(
            "X-HTTP-Method-Override",
            "must be PATCH or DELETE where an upload is posted to",
        )),
    }
}

async fn delete(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    spoken(async {
        require_version(request.headers())?;
        let (key_id, id) = (bearer(&request)?.key_id, upload_id(&request)?);
        state
            .run(state.services.data.uploads().remove(&key_id, id))
            .await?;
        Ok(HttpResponse::NoContent()
            .insert_header((TUS_RESUMABLE, VERSION))
            .finish())
    })
    .await
}

/// What has come of an upload. The protocol has no such request: whoever asks need not
/// speak it.
async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let (key_id, id) = (bearer(&request)?.key_id, upload_id(&request)?);
    let outcome = state
        .run(state.services.data.uploads().outcome(&key_id, id))
        .await?;
    Ok(match outcome {
        UploadOutcome::Shared(share) => share_answer(&share),
        UploadOutcome::SharedWithEach { among, outcomes } => {
            let several = SeveralRecipients::allowed(&request, among.to_vec())?;
            shares_answer(several.outcomes(outcomes))
        }
        UploadOutcome::UnderWay(progress) => HttpResponse::Accepted().json(json!({
            "success": false,
            "status": "uploading",
            "offset": progress.offset,
            "length": progress.length,
            "upload_expires_at": progress.expires_at,
        })),
    })
}

/// An answer of the protocol, which names its version also where it is an error.
async fn spoken(
    answering: impl Future<Output = Result<HttpResponse, ApiError>>,
) -> Result<HttpResponse, ApiError> {
    let answered = answering.await;
    answered.map_err(|error| error.with_header(TUS_RESUMABLE, HeaderValue::from_static(VERSION)))
}

/// The head of an answer that says how far an upload is.
fn answer(status: StatusCode, progress: &UploadProgress) -> HttpResponseBuilder {
    let expires = UNIX_EPOCH + Duration::from_millis(progress.expires_at);
    let mut response = HttpResponse::build(status);
    response
        .insert_header((TUS_RESUMABLE, VERSION))
        .insert_header((UPLOAD_OFFSET, progress.offset))
        .insert_header((UPLOAD_EXPIRES, HttpDate::from(expires).to_string()));
    response
}

/// 404 for what cannot be the name of an upload, as for an unknown one.
fn upload_id(request: &HttpRequest) -> Result<UploadId, ApiError> {
    let id = request.match_info().query("id").parse();
    id.map_err(|_| UploadError::Unknown.into())
}

/// 460: the body is not what its checksum says; nothing of it counts.
fn wrong_checksum() -> ApiError {
    let status = StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST);
    ApiError::new(
        status,
        "the body has another checksum than Upload-Checksum says; send it again",
    )
}

fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
