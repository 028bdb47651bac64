//! `GET /ws`: what happens, over a WebSocket: from the journal, and what passes.

use std::{pin::pin, time::Duration};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::{Data, Payload},
};
use actix_ws::{Message, MessageStream};
use dm_core::{
    api_key::Scope,
    bus::NodeEvent,
    journal::{Cursor, Topics},
    news::News,
};
use dm_services::events::{CloudEvent, EventPage, From, Passing};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{ConsoleState, Session, sockets::SocketPlace};
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::query,
    route_info::Access,
    state::State,
};

/// Events that a page gets which names no place to begin.
const WELCOME_EVENTS: usize = 20;
/// Events that one look at the journal brings.
const PAGE: usize = 100;
/// Events of `get_history` where the client does not say how many.
const HISTORY: usize = 50;
/// Most events of `get_history`.
const MAX_HISTORY: usize = 500;
/// Largest message of a client in bytes.
const MAX_MESSAGE: usize = 4096;
/// Between two pings.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client may say nothing at all, pongs included.
const SILENCE: Duration = Duration::from_secs(45);
/// How long a client may take until there is room for the next message to it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn router() -> Router {
    let mut router = Router::default();
    router.add(Endpoint::at("/ws").on_streamed(Method::GET, Access::Needs(Scope::Read), connect));
    router
}

#[derive(Deserialize)]
struct Params {
    /// The `id` of the last event that the page has seen.
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Request {
    Ping,
    GetHistory { count: Option<usize> },
}

/// The client is gone, takes nothing, or is not wanted any more.
struct Gone;

async fn connect(
    request: HttpRequest,
    body: Payload,
    state: Data<State>,
    console: Data<ConsoleState>,
) -> Result<HttpResponse, ApiError> {
    let Params { cursor } = query(&request)?;
    let place = console.sockets.take()?;
    // A place that there is not is told before the socket opens.
    let first = match cursor {
        None => state.run(state.services.events.latest(WELCOME_EVENTS)).await?,
        Some(text) => {
            let cursor: Cursor = text
                .parse()
                .map_err(|reason| ApiError::invalid("cursor", reason))?;
            page(&state, cursor, Duration::ZERO).await?
        }
    };
    let passing = state.services.events.passing();
    let kept = state.run(state.services.events.kept()).await?;
    let session = request.extensions().get::<Session>().cloned();
    let (response, socket, messages) = actix_ws::handle(&request, body).map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("this is no WebSocket handshake: {error}"),
        )
    })?;
    let wire = Wire {
        socket,
        state,
        _place: place,
    };
    let ended = session.map_or_else(CancellationToken::new, |session| session.ended);
    let messages = messages.max_frame_size(MAX_MESSAGE);
    actix_web::rt::spawn(async move {
        // However it comes to its end, the page connects again from where it was.
        let _ = ended
            .run_until_cancelled(wire.converse(first, kept, passing, messages))
            .await;
    });
    Ok(response)
}

async fn page(state: &State, after: Cursor, patience: Duration) -> Result<EventPage, ApiError> {
    let topics = Topics::all();
    let asked = state
        .services
        .events
        .page(&topics, From::After(after), PAGE, patience);
    Ok(state.run(asked).await?)
}

/// One open socket.
struct Wire {
    socket: actix_ws::Session,
    state: Data<State>,
    _place: SocketPlace,
}

impl Wire {
    async fn converse(
        mut self,
        first: EventPage,
        kept: u64,
        mut passing: Passing,
        mut messages: MessageStream,
    ) -> Result<(), Gone> {
        let state = self.state.clone();
        let welcome = json!({
            "message": "Connected. Events follow.",
            "history_available": kept,
        });
        self.say(&json!({"type": "connected", "data": welcome})).await?;
        self.tell(&first).await?;
        let mut heard = Instant::now();
        let mut cursor = first.cursor;
        let mut next = pin!(page(&state, cursor, HEARTBEAT));
        loop {
            tokio::select! {
                message = messages.next() => {
                    heard = Instant::now();
                    self.answer(message.and_then(Result::ok).ok_or(Gone)?).await?;
                }
                passed = passing.next() => {
                    self.tell_passing(&passed.ok_or(Gone)?).await?;
                }
                page_of_events = &mut next => {
                    let news = page_of_events.map_err(|_| Gone)?;
                    if state.services.events.are_ending() || heard.elapsed() > SILENCE {
                        let _ = self.socket.close(None).await;
                        return Err(Gone);
                    }
                    self.tell(&news).await?;
                    if news.events.is_empty() {
                        self.ping().await?;
                    }
                    cursor = news.cursor;
                    next.set(page(&state, cursor, HEARTBEAT));
                }
            }
        }
    }

    async fn answer(&mut self, message: Message) -> Result<(), Gone> {
        match message {
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(Request::Ping) => self.say(&json!({"type": "pong"})).await,
                Ok(Request::GetHistory { count }) => self.tell_history(count.unwrap_or(HISTORY)).await,
                Err(_) => self.say(&unknown_request()).await,
            },
            Message::Ping(bytes) => timeout(PATIENCE, self.socket.pong(&bytes))
                .await
                .map_err(|_| Gone)?
                .map_err(|_| Gone),
            Message::Pong(_) | Message::Nop => Ok(()),
            Message::Close(_) | Message::Binary(_) | Message::Continuation(_) => Err(Gone),
        }
    }

    async fn tell_history(&mut self, count: usize) -> Result<(), Gone> {
        let asked = self.state.services.events.latest(count.min(MAX_HISTORY));
        let page = self.state.run(asked).await.map_err(|_| Gone)?;
        let events: Vec<Value> = page.events.iter().map(frame).collect();
        let data = json!({"count": events.len(), "events": events});
        self.say(&json!({"type": "history", "data": data})).await
    }

    async fn tell(&mut self, page: &EventPage) -> Result<(), Gone> {
        if page.missed > 0 {
            let data = json!({"missed": page.missed});
            self.say(&json!({"type": "missed", "data": data})).await?;
        }
        for event in &page.events {
            self.say(&frame(event)).await?;
        }
        Ok(())
    }

    /// Tells what has no place in the journal. That somebody tries API keys is not for everybody
    /// who may read.
    async fn tell_passing(&mut self, event: &NodeEvent) -> Result<(), Gone> {
        if matches!(event.news, News::WrongApiKeys { .. }) {
            return Ok(());
        }
        let (topic, data) = event.parts();
        let message = json!({"type": topic, "data": data, "timestamp": event.timestamp});
        self.say(&message).await
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        let sent = timeout(PATIENCE, self.socket.ping(b"")).await;
        sent.map_err(|_| Gone)?.map_err(|_| Gone)
    }

    /// Nobody waits for a client that does not read.
    async fn say(&mut self, message: &Value) -> Result<(), Gone> {
        let sent = timeout(PATIENCE, self.socket.text(message.to_string())).await;
        sent.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}

/// An event as pages know it; its id is a place in the journal.
fn frame(event: &CloudEvent) -> Value {
    json!({
        "type": event.kind.strip_prefix("datamgmt.").unwrap_or(&event.kind),
        "data": event.data,
        "timestamp": event.at as f64 / 1000.0,
        "id": event.id.to_string(),
    })
}

fn unknown_request() -> Value {
    let known = "send {\"type\": \"ping\"} or {\"type\": \"get_history\", \"count\": 50}";
    json!({"type": "error", "data": {"message": known}})
}
