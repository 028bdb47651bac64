//! `/api/session` and `/api/dashboard/info`: what only the console asks for.

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{Method, header},
    web::Data,
};
use dm_core::api_key::{Principal, Scope};
use serde::{Deserialize, Serialize};

use super::{ConsoleState, Ports, Session, sessions::LIFETIME};
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::JsonBody,
    middleware::{
        authenticate::{bearer_of, came_encrypted},
        session::{COOKIE, session_id},
    },
    route_info::Access,
    state::State,
};

/// The routes below `/api` that only the console has.
pub(super) fn of_api() -> Router {
    let mut router = Router::default();
    router.add(
        Endpoint::at("/session")
            .on(Method::GET, Access::Open, show)
            .on(Method::POST, Access::Open, sign_in)
            .on(Method::DELETE, Access::Open, sign_out),
    );
    router.add(Endpoint::at("/dashboard/info").on(Method::GET, Access::Needs(Scope::Read), info));
    router
}

#[derive(Deserialize)]
struct SignIn {
    api_key: String,
}

#[derive(Serialize)]
struct SessionAnswer {
    /// For the header `X-CSRF-Token` of requests that change something.
    csrf_token: String,
    /// Id of the API key.
    key_id: String,
    scopes: Vec<String>,
    /// Seconds until the session ends, however much it is used.
    ends_in: u64,
}

impl SessionAnswer {
    fn new(session: &Session, bearer: &Principal) -> Self {
        let scopes = Scope::ALL
            .into_iter()
            .filter(|scope| bearer.rights.allow_scope(*scope));
        Self {
            csrf_token: session.csrf_token.to_string(),
            key_id: bearer.key_id.to_string(),
            scopes: scopes.map(|scope| scope.to_string()).collect(),
            ends_in: session.remaining().as_secs(),
        }
    }
}

/// A sign-in always opens a new session: nobody can prepare one for somebody else.
async fn sign_in(
    request: HttpRequest,
    body: JsonBody,
    state: Data<State>,
    console: Data<ConsoleState>,
) -> Result<HttpResponse, ApiError> {
    let SignIn { api_key } = body.parse()?;
    let api_key = api_key.trim();
    let bearer = bearer_of(api_key, &request, &state).await?;
    if let Some(earlier) = session_id(request.headers()) {
        console.sessions.end(earlier);
    }
    let (id, session) = console.sessions.open(api_key);
    let cookie = cookie(&id, LIFETIME.as_secs(), came_encrypted(&request, &state));
    Ok(HttpResponse::Ok()
        .insert_header((header::SET_COOKIE, cookie))
        .json(SessionAnswer::new(&session, &bearer)))
}

async fn show(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let session = request.extensions().get::<Session>().cloned();
    let session = session.ok_or_else(ApiError::unauthorized)?;
    let bearer = bearer_of(session.key.expose(), &request, &state).await?;
    Ok(HttpResponse::Ok().json(SessionAnswer::new(&session, &bearer)))
}

async fn sign_out(request: HttpRequest, state: Data<State>, console: Data<ConsoleState>) -> HttpResponse {
    if let Some(id) = session_id(request.headers()) {
        console.sessions.end(id);
    }
    let cookie = cookie("", 0, came_encrypted(&request, &state));
    HttpResponse::NoContent()
        .insert_header((header::SET_COOKIE, cookie))
        .finish()
}

fn cookie(id: &str, seconds: u64, is_encrypted: bool) -> String {
    let secure = if is_encrypted { "; Secure" } else { "" };
    format!("{COOKIE}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[derive(Serialize)]
struct InfoAnswer<'a> {
    node_id: &'a str,
    websocket_clients: usize,
    event_history_size: u64,
    api_version: &'static str,
    ports: Ports,
}

async fn info(state: Data<State>, console: Data<ConsoleState>) -> Result<HttpResponse, ApiError> {
    let event_history_size = state.run(state.services.events.kept()).await?;
    Ok(HttpResponse::Ok().json(InfoAnswer {
        node_id: &console.console.node_id,
        websocket_clients: console.sockets.open(),
        event_history_size,
        api_version: env!("CARGO_PKG_VERSION"),
        ports: console.ports,
    }))
}
