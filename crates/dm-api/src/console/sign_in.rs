//! `/api/sign-in`: how a person signs in with an account of the company.
//!
//! The browser goes to the identity provider and comes back with a code. Where it goes, and where
//! it comes back to, never depends on what a request says.

use std::{fmt, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web::Data,
};
use dm_core::{
    clock::now_ms,
    ports::{IdentityError, IdentityProvider, SignInAnswer, SignedIn},
};
use serde::{Deserialize, Serialize};

use super::{
    ConsoleState,
    attempts::{PATIENCE_SECS, fresh_secret, is_secret},
    routes::session_cookie,
    sessions::Holder,
};
use crate::{
    endpoint::{Endpoint, Router, not_found},
    error::ApiError,
    extract::query,
    middleware::{
        authenticate::came_encrypted,
        session::{cookie, session_id},
    },
    route_info::Access,
    state::State,
};

/// Names the cookie by which a browser is known that is away at the provider.
const COOKIE: &str = "dm_sign_in";
const PATH: &str = "/api/sign-in";

pub(super) fn of_api() -> Router {
    let mut router = Router::default();
    router.add(Endpoint::at("/sign-in").on(Method::GET, Access::Open, ways));
    router.add(Endpoint::at("/sign-in/account").on(Method::GET, Access::Open, begin));
    router.add(Endpoint::at("/sign-in/callback").on(Method::GET, Access::Open, come_back));
    router
}

/// Why nobody is signed in, for the page to explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The person, or the provider for them, has said no.
    Denied,
    /// The provider cannot be asked.
    Unreachable,
    /// No role of the person opens anything.
    NoRole,
    /// The attempt is not this browser's, was used, or is too old.
    Stale,
    /// What came from the provider counts for nothing.
    Refused,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "denied",
            Self::Unreachable => "unreachable",
            Self::NoRole => "no-role",
            Self::Stale => "stale",
            Self::Refused => "refused",
        })
    }
}

impl From<IdentityError> for Fault {
    fn from(error: IdentityError) -> Self {
        tracing::warn!(%error, "nobody was signed in");
        match error {
            IdentityError::Unreachable(_) => Self::Unreachable,
            IdentityError::Refused(_) => Self::Refused,
            IdentityError::NoRole(_) => Self::NoRole,
        }
    }
}

#[derive(Serialize)]
struct WaysAnswer<'a> {
    /// Sign-in with an account, if there is such a way.
    account: Option<AccountAnswer<'a>>,
}

#[derive(Serialize)]
struct AccountAnswer<'a> {
    /// What people call the provider; may be empty.
    name: &'a str,
    /// Where it begins: under the address to which the provider sends browsers back.
    url: String,
}

async fn ways(state: Data<State>, console: Data<ConsoleState>) -> HttpResponse {
    let account = provider(&state).map(|provider| AccountAnswer {
        name: provider.name(),
        url: format!("{}{PATH}/account", console.url),
    });
    HttpResponse::Ok().json(WaysAnswer { account })
}

async fn begin(request: HttpRequest, state: Data<State>, console: Data<ConsoleState>) -> HttpResponse {
    let Some(provider) = provider(&state) else {
        return not_found().await;
    };
    // Tabs of one browser have one secret, so that each can come back.
    let known = cookie(request.headers(), COOKIE).filter(|text| is_secret(text));
    let browser = known.map_or_else(fresh_secret, str::to_owned);
    let attempt = console.attempts.begin(&browser, &return_to(&console), now());
    match state.run(provider.sign_in_url(&attempt)).await {
        Ok(url) => HttpResponse::SeeOther()
            .insert_header((header::LOCATION, url))
            .insert_header((
                header::SET_COOKIE,
                own_cookie(&browser, PATIENCE_SECS, &request, &state),
            ))
            .finish(),
        Err(error) => explain(Fault::from(error)),
    }
}

#[derive(Deserialize)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

async fn come_back(request: HttpRequest, state: Data<State>, console: Data<ConsoleState>) -> HttpResponse {
    if *request.method() != Method::GET {
        // A program that only looks at a link must not use it up.
        return HttpResponse::build(StatusCode::METHOD_NOT_ALLOWED).finish();
    }
    let Some(provider) = provider(&state) else {
        return not_found().await;
    };
    let answer = query(&request);
    match signed_in(&request, answer, provider, &state, &console).await {
        Ok(signed_in) => open(signed_in, &request, &state, &console),
        Err(fault) => explain(fault),
    }
}

async fn signed_in(
    request: &HttpRequest,
    answer: Result<Answer, ApiError>,
    provider: &Arc<dyn IdentityProvider>,
    state: &State,
    console: &ConsoleState,
) -> Result<SignedIn, Fault> {
    let answer = answer.map_err(|_| Fault::Stale)?;
    let browser = cookie(request.headers(), COOKIE).filter(|text| is_secret(text));
    let (Some(browser), Some(attempt)) = (browser, &answer.state) else {
        return Err(Fault::Stale);
    };
    let attempt = console
        .attempts
        .take_up(browser, attempt, &return_to(console), now());
    let attempt = attempt.ok_or(Fault::Stale)?;
    let Some(code) = &answer.code else {
        let is_no = answer.error.as_deref() == Some("access_denied");
        return Err(if is_no { Fault::Denied } else { Fault::Refused });
    };
    let brought = SignInAnswer {
        code,
        issuer: answer.iss.as_deref(),
    };
    Ok(state.run(provider.redeem(&brought, &attempt)).await?)
}

/// Opens a session: always a new one, so that nobody can prepare it for somebody else.
fn open(
    SignedIn { bearer, id_token }: SignedIn,
    request: &HttpRequest,
    state: &State,
    console: &ConsoleState,
) -> HttpResponse {
    if let Some(earlier) = session_id(request.headers()) {
        console.sessions.end(earlier);
    }
    let person = bearer.person.clone();
    let holder = Holder::Person {
        bearer,
        id_token: Arc::new(id_token),
    };
    let (id, session) = console.sessions.open(holder);
    if let Some(person) = person {
        state.services.people.signed_in(&person, &session.name);
    }
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/"))
        .append_header((header::SET_COOKIE, session_cookie(&id, request, state)))
        .append_header((header::SET_COOKIE, own_cookie("", 0, request, state)))
        .finish()
}

/// Sends the browser to the page, which says what is wrong.
fn explain(fault: Fault) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("/#/sign-in/{fault}")))
        .finish()
}

fn provider(state: &State) -> Option<&Arc<dyn IdentityProvider>> {
    state
        .services
        .people
        .provider()
        .filter(|provider| provider.signs_in())
}

fn return_to(console: &ConsoleState) -> String {
    format!("{}{PATH}/callback", console.url)
}

/// `Lax`, for the browser comes back from another site.
fn own_cookie(secret: &str, seconds: u64, request: &HttpRequest, state: &State) -> String {
    let secure = if came_encrypted(request, state) {
        "; Secure"
    } else {
        ""
    };
    format!("{COOKIE}={secret}; Path={PATH}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

fn now() -> u64 {
    now_ms() / 1000
}
