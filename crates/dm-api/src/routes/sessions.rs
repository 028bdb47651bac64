//! `/sessions`: who is signed in to the console, and how an operator ends that.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::Data,
};
use dm_core::{api_key::Scope, person::Person};
use serde::Serialize;

use crate::{
    console::Session,
    endpoint::{Endpoint, Router},
    error::ApiError,
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/sessions").on(Method::GET, Access::Needs(Scope::Admin), list));
    router.add(Endpoint::at("/sessions/{id}").on(Method::DELETE, Access::Needs(Scope::Admin), end));
}

#[derive(Serialize)]
struct SessionsAnswer<'a> {
    sessions: Vec<SessionAnswer<'a>>,
}

#[derive(Serialize)]
struct SessionAnswer<'a> {
    id: &'a str,
    /// Whose API key it is, where it was opened with one.
    key_id: Option<&'a str>,
    /// Who has signed in with an account.
    person: Option<&'a Person>,
    /// In milliseconds since the Unix epoch, as all times here.
    opened_at: u64,
    used_at: u64,
    /// When it ends, however much it is used.
    ends_at: u64,
}

impl<'a> From<&'a Session> for SessionAnswer<'a> {
    fn from(session: &'a Session) -> Self {
        let person = session.holder.person();
        Self {
            id: &session.name,
            key_id: person.is_none().then(|| &**session.holder.id()),
            person: person.map(|person| &**person),
            opened_at: session.opened_at(),
            used_at: session.used_at(),
            ends_at: session.ends_at(),
        }
    }
}

async fn list(state: Data<State>) -> HttpResponse {
    let sessions = state.sessions.list();
    HttpResponse::Ok().json(SessionsAnswer {
        sessions: sessions.iter().map(SessionAnswer::from).collect(),
    })
}

#[derive(Serialize)]
struct EndedAnswer<'a> {
    success: bool,
    id: &'a str,
}

async fn end(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    let ended = state.sessions.end_named(id);
    let ended = ended.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "Session not found"))?;
    if let Some(person) = ended.holder.person() {
        state.services.people.signed_out(person, id);
    }
    Ok(HttpResponse::Ok().json(EndedAnswer { success: true, id }))
}
