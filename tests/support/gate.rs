//! An endpoint before a chain that serves what it likes to, as providers do.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use serde_json::{Value, json};

/// The code by which providers say that somebody has asked too often.
const LIMIT: i64 = -32005;

/// What the endpoint shares with the test.
struct Rules {
    target: String,
    /// Requests that contain this text get this error in place of an answer.
    errors: Mutex<Option<(String, Value)>>,
    client: reqwest::Client,
}

/// The endpoint; ended when dropped.
pub(crate) struct Gate {
    pub(crate) url: String,
    rules: Arc<Rules>,
    handle: ServerHandle,
}

impl Gate {
    /// An endpoint that passes everything on to `target`.
    pub(crate) fn before(target: &str) -> Self {
        let rules = Arc::new(Rules {
            target: target.to_owned(),
            errors: Mutex::default(),
            client: reqwest::Client::new(),
        });
        let shared = rules.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::from(shared.clone()))
                .default_service(web::to(pass))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        std::thread::spawn(move || actix_web::rt::System::new().block_on(server));
        Self { url, rules, handle }
    }

    /// From now on requests that contain the text meet a limit.
    pub(crate) fn limit(&self, text: &str) {
        self.answer(text, LIMIT, "daily request count exceeded");
    }

    /// From now on requests that contain the text are refused with this message.
    pub(crate) fn refuse(&self, text: &str, message: &str) {
        self.answer(text, -32000, message);
    }

    fn answer(&self, text: &str, code: i64, message: &str) {
        let error = json!({"code": code, "message": message});
        *self.rules.errors.lock().unwrap() = Some((text.to_owned(), error));
    }

    /// Every request is passed on again.
    pub(crate) fn open(&self) {
        *self.rules.errors.lock().unwrap() = None;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Sent at once; nobody waits for the end.
        drop(self.handle.stop(false));
    }
}

async fn pass(body: String, rules: web::Data<Rules>) -> HttpResponse {
    let error = rules.errors.lock().unwrap().clone();
    if let Some((text, error)) = error
        && body.contains(&text)
    {
        let mut answer = match error["code"].as_i64() {
            Some(LIMIT) => HttpResponse::TooManyRequests(),
            _ => HttpResponse::Ok(),
        };
        return answer.json(json!({"jsonrpc": "2.0", "id": id_of(&body), "error": error}));
    }
    let request = rules
        .client
        .post(&rules.target)
        .header("content-type", "application/json");
    let answer = match request.body(body).send().await {
        Ok(answer) => answer.text().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => HttpResponse::Ok().content_type("application/json").body(answer),
        Err(_) => HttpResponse::BadGateway().finish(),
    }
}

/// The id by which the asker knows the answer.
fn id_of(request: &str) -> Value {
    serde_json::from_str::<Value>(request).map_or(Value::Null, |request| request["id"].clone())
}
