//! An OpenID Connect provider that does what a test says.
#![allow(unreachable_pub, reason = "the tests of this crate share it")]

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use dm_core::{config::SignInConfig, ports::IdentityError, secret::SecretString};
use dm_oidc::OidcProvider;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub mod signing;

pub use signing::SigningKey;

pub const AUDIENCE: &str = "https://node.example.org";
pub const CLIENT: &str = "console";
pub const SECRET: &str = "s&cret 1";

/// A request that the issuer was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
    pub body: String,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, (u16, String)>,
    asked: Vec<Asked>,
    is_away: bool,
}

pub struct Issuer {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Issuer {
    /// An issuer that signs with these keys.
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/company", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        tokio::spawn(serve(listener, state.clone()));
        let issuer = Self { url, state };
        issuer.answer("/company/.well-known/openid-configuration", &issuer.discovery());
        issuer.publish(keys);
        issuer
    }

    /// An issuer with one key, which is called `a`.
    pub async fn with_key() -> (Self, SigningKey) {
        let key = SigningKey::p256("a");
        (Self::start(&[&key]).await, key)
    }

    pub fn discovery(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize?tenant=1"),
            "token_endpoint": format!("{url}/token"),
            "userinfo_endpoint": format!("{url}/me"),
            "end_session_endpoint": format!("{url}/end"),
            "jwks_uri": format!("{url}/keys"),
            "code_challenge_methods_supported": ["plain", "S256"],
        })
    }

    /// Publishes these keys, and no others any more.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.answer("/company/keys", &json!({ "keys": keys }));
    }

    pub fn answer(&self, path: &str, answer: &Value) {
        self.answer_with(path, 200, &answer.to_string());
    }

    pub fn answer_with(&self, path: &str, status: u16, text: &str) {
        let answer = (status, text.to_owned());
        self.state.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// Closes each connection without an answer, or answers again.
    pub fn set_away(&self, is_away: bool) {
        self.state.lock().unwrap().is_away = is_away;
    }

    /// What it was asked under this path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let state = self.state.lock().unwrap();
        state
            .asked
            .iter()
            .filter(|asked| asked.path == path)
            .cloned()
            .collect()
    }

    pub fn config(&self) -> SignInConfig {
        SignInConfig {
            issuer: Some(self.url.clone()),
            client_id: Some(CLIENT.to_owned()),
            client_secret: Some(SecretString::new(SECRET)),
            audience: Some(AUDIENCE.to_owned()),
            roles: vec![
                "clerk=share".to_owned(),
                "clerk=read".to_owned(),
                "boss=admin".to_owned(),
            ],
            ..SignInConfig::default()
        }
    }

    /// A node's side, which asks again as often as it likes.
    pub fn provider(&self) -> OidcProvider {
        self.provider_with(&self.config())
    }

    pub fn provider_with(&self, config: &SignInConfig) -> OidcProvider {
        OidcProvider::new(config)
            .unwrap()
            .unwrap()
            .with_pause(Duration::ZERO)
    }

    /// What a good access token says.
    pub fn claims(&self) -> Value {
        json!({
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann-1",
            "name": "Ann",
            "roles": ["clerk"],
            "iat": now(),
            "exp": now() + 300,
        })
    }
}

/// The reason why a token or code is refused.
pub fn refusal<T: Debug>(found: Result<T, IdentityError>) -> String {
    match found {
        Err(IdentityError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn now() -> i64 {
    i64::try_from(dm_core::clock::now_ms() / 1000).unwrap()
}

/// The claims with some of them replaced; `null` takes one away.
pub fn with(mut claims: Value, changes: &Value) -> Value {
    let all = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => all.remove(name),
            value => all.insert(name.clone(), value.clone()),
        };
    }
    claims
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if state.lock().unwrap().is_away {
            continue;
        }
        let state = state.clone();
        let service = service_fn(move |request| answer(state.clone(), request));
        tokio::spawn(
            http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization");
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut state = state.lock().unwrap();
    let (status, text) = state.answers.get(&path).cloned().unwrap_or((404, String::new()));
    state.asked.push(Asked {
        path,
        authorization,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let response = Response::builder().status(status);
    // Where a redirect leads, if it is followed.
    let response = response.header("location", "/company/elsewhere");
    Ok(response.body(Full::from(text)).unwrap())
}
