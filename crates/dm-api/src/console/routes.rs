//! `/api/session` and `/api/dashboard`: what only the console asks for.

use std::sync::Arc;

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{Method, header},
    web::Data,
};
use dm_core::{
    api_key::{Principal, Scope},
    person::Person,
    secret::SecretString,
};
use dm_services::TrendSample;
use serde::{Deserialize, Serialize};

use super::{
    ConsoleState, Ports, Session,
    sessions::{Holder, LIFETIME},
    settings,
};
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
    router.add(Endpoint::at("/dashboard/trend").on(Method::GET, Access::Needs(Scope::Read), trend));
    settings::add(&mut router);
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
    /// Id of the API key, or of the person.
    key_id: String,
    /// Who has signed in with an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<Arc<Person>>,
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
            person: bearer.person.clone(),
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
    let (id, session) = console.sessions.open(Holder::Key {
        id: bearer.key_id.clone(),
        key: Arc::new(SecretString::new(api_key)),
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::SET_COOKIE, session_cookie(&id, &request, &state)))
        .json(SessionAnswer::new(&session, &bearer)))
}

async fn show(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let session = request.extensions().get::<Session>().cloned();
    let session = session.ok_or_else(ApiError::unauthorized)?;
    let bearer = match &session.holder {
        Holder::Key { key, .. } => bearer_of(key.expose(), &request, &state).await?,
        Holder::Person { bearer, .. } => bearer.clone(),
    };
    Ok(HttpResponse::Ok().json(SessionAnswer::new(&session, &bearer)))
}

#[derive(Serialize)]
struct SignedOutAnswer {
    /// Where the person's session at the identity provider ends, too.
    provider_url: Option<String>,
}

/// What ends here has ended, also where the provider is away.
async fn sign_out(request: HttpRequest, state: Data<State>, console: Data<ConsoleState>) -> HttpResponse {
    let ended = session_id(request.headers()).and_then(|id| console.sessions.end(id));
    let cookie = cookie("", 0, came_encrypted(&request, &state));
    let Some(Holder::Person { bearer, id_token }) = ended.as_ref().map(|session| &session.holder) else {
        return HttpResponse::NoContent()
            .insert_header((header::SET_COOKIE, cookie))
            .finish();
    };
    if let (Some(session), Some(person)) = (&ended, &bearer.person) {
        state.services.people.signed_out(person, &session.name);
    }
    let provider_url = match state.services.people.provider() {
        Some(provider) => {
            let back = format!("{}/", console.url);
            state.run(provider.sign_out_url(id_token, &back)).await
        }
        None => None,
    };
    HttpResponse::Ok()
        .insert_header((header::SET_COOKIE, cookie))
        .json(SignedOutAnswer { provider_url })
}

/// The cookie of a session that was opened for this request.
pub(super) fn session_cookie(id: &str, request: &HttpRequest, state: &State) -> String {
    cookie(id, LIFETIME.as_secs(), came_encrypted(request, state))
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

#[derive(Serialize)]
struct TrendAnswer {
    /// Oldest first.
    samples: Vec<TrendSample>,
}

async fn trend(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(TrendAnswer {
        samples: state.services.trend.samples(),
    })
}
