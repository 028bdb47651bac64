//! `GET /events` and `GET /events/stream`: what happened, from the journal, for programs
//! that must not miss anything.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::{Bytes, Data},
};
use dm_core::{
    api_key::Scope,
    journal::{Cursor, Topics},
};
use dm_services::{
    ServiceError,
    events::{CloudEvent, EventPage, Events, From},
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{page_limit, query},
    on_runtime::ServiceStream,
    route_info::Access,
    state::State,
};

/// Longest wait for the next event, in seconds.
const MAX_WAIT_SECS: u64 = 60;
/// Events that one look at the journal brings to a stream.
const STREAM_PAGE: usize = 100;
/// Between two comments that keep an idle stream open.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) fn add(router: &mut Router) {
    let needs = Access::Needs(Scope::Read);
    // Whoever waits for the next event says how long.
    router.add(Endpoint::at("/events").on_streamed(Method::GET, needs, get));
    router.add(Endpoint::at("/events/stream").on_streamed(Method::GET, needs, follow));
}

#[derive(Deserialize)]
struct PageParams {
    topics: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
    wait: Option<String>,
}

#[derive(Serialize)]
struct PageAnswer {
    events: Vec<CloudEvent>,
    cursor: String,
    /// Events that were forgotten before they were asked for.
    #[serde(skip_serializing_if = "is_zero")]
    missed: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let params: PageParams = query(&request)?;
    let topics = topics(params.topics.as_deref())?;
    let from = match params.cursor.as_deref() {
        None => From::Beginning,
        Some(text) => place("cursor", text)?,
    };
    let limit = page_limit(params.limit.as_deref())?;
    let patience = patience(params.wait.as_deref())?;
    let asked = state.services.events.page(&topics, from, limit, patience);
    let page = state.run(asked).await?;
    Ok(HttpResponse::Ok().json(PageAnswer {
        events: page.events,
        cursor: page.cursor.to_string(),
        missed: page.missed,
    }))
}

#[derive(Deserialize)]
struct StreamParams {
    topics: Option<String>,
}

/// [Server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html).
async fn follow(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let params: StreamParams = query(&request)?;
    let topics = topics(params.topics.as_deref())?;
    let events = &state.services.events;
    let from = match last_event_id(&request)? {
        Some(from) => from,
        None => From::After(state.run(events.end()).await?),
    };
    // A place that there is not is told before the stream begins.
    let asked = events.page(&topics, from, STREAM_PAGE, Duration::ZERO);
    let first = state.run(asked).await?;
    let texts = pages(events.clone(), topics, first).map_ok(|page| text(&page));
    let texts = ServiceStream::new(state.runtime().clone(), texts.boxed());
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(texts))
}

/// The first page, and whatever comes after it until the node stops: one page, if an empty
/// one, in each heartbeat.
fn pages(
    events: Events,
    topics: Topics,
    first: EventPage,
) -> impl Stream<Item = Result<EventPage, ServiceError>> {
    let cursor = first.cursor;
    let next = stream::try_unfold((events, topics, cursor), |(events, topics, cursor)| async move {
        if events.are_ending() {
            return Ok(None);
        }
        let page = events
            .page(&topics, From::After(cursor), STREAM_PAGE, HEARTBEAT)
            .await?;
        let cursor = page.cursor;
        Ok(Some((page, (events, topics, cursor))))
    });
    stream::iter([Ok(first)]).chain(next)
}

fn text(page: &EventPage) -> Bytes {
    let mut text = String::new();
    if page.missed > 0 {
        text.push_str(&format!(
            "event: missed\ndata: {{\"missed\": {}}}\n\n",
            page.missed
        ));
    }
    for event in &page.events {
        // An event always has a JSON form, without line breaks.
        let data = serde_json::to_string(event).unwrap_or_default();
        text.push_str(&format!(
            "id: {}\nevent: {}\ndata: {data}\n\n",
            event.id, event.kind
        ));
    }
    if text.is_empty() {
        text.push_str(": nothing new\n\n");
    }
    text.into()
}

fn topics(text: Option<&str>) -> Result<Topics, ApiError> {
    let names = text.filter(|text| !text.is_empty()).map(|text| text.split(','));
    let names = names.into_iter().flatten().map(str::trim);
    Topics::new(names).map_err(|reason| ApiError::invalid("topics", reason))
}

fn place(field: &'static str, text: &str) -> Result<From, ApiError> {
    if text == "now" {
        return Ok(From::Now);
    }
    let cursor: Cursor = text.parse().map_err(|reason| ApiError::invalid(field, reason))?;
    Ok(From::After(cursor))
}

fn last_event_id(request: &HttpRequest) -> Result<Option<From>, ApiError> {
    const NAME: &str = "Last-Event-ID";
    let Some(value) = request.headers().get(NAME) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    place(NAME, text).map(Some)
}

fn patience(text: Option<&str>) -> Result<Duration, ApiError> {
    let Some(text) = text else {
        return Ok(Duration::ZERO);
    };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_WAIT_SECS);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        ApiError::invalid(
            "wait",
            format!("must be a number of seconds from 0 to {MAX_WAIT_SECS}"),
        )
    })
}
