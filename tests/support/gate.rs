//! An endpoint before a chain that serves what it likes to, as providers do.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use serde_json::json;

/// What the endpoint shares with the test.
struct Rules {
    target: String,
    /// Requests that contain this text meet a limit.
    limited: Mutex<Option<String>>,
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
            limited: Mutex::default(),
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
        *self.rules.limited.lock().unwrap() = Some(text.to_owned());
    }

    /// No request meets a limit any more.
    pub(crate) fn open(&self) {
        *self.rules.limited.lock().unwrap() = None;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Sent at once; nobody waits for the end.
        drop(self.handle.stop(false));
    }
}

async fn pass(body: String, rules: web::Data<Rules>) -> HttpResponse {
    let limited = rules.limited.lock().unwrap().clone();
    if limited.is_some_and(|text| body.contains(&text)) {
        return HttpResponse::TooManyRequests().json(json!({
            "jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "daily request count exceeded"}
        }));
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
