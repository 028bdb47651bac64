//! The embedded chain as a JSON-RPC server, for other nodes and tools.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::{
        Method,
        header::{self, ContentType},
    },
    middleware::DefaultHeaders,
    web,
};
use bytes::Bytes;
use dm_core::ports::JsonRpc;
use tokio::runtime::Handle;

use crate::{on_runtime::OnRuntime, protocol::KEEP_ALIVE, running::RunningServer, server::ServerError};

/// Largest request in bytes, a batch included.
const MAX_REQUEST: usize = 16 << 20;
/// Worker threads: execution, not HTTP, takes the time.
const WORKERS: usize = 1;
/// How long requests in progress get when the server is stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Seconds for which a browser need not ask again.
const PREFLIGHT_AGE: &str = "600";

struct Chain {
    rpc: Arc<dyn JsonRpc>,
    runtime: Handle,
}

/// Answers `POST /` on the listener's address with what `rpc` says, to web pages of
/// any origin, too. It knows no keys and no limits: listen on a loopback address.
///
/// # Errors
/// [`ServerError::Start`] where the socket cannot be used.
///
/// # Panics
/// Outside a tokio runtime, on which `rpc` runs.
pub fn serve_json_rpc(listener: TcpListener, rpc: Arc<dyn JsonRpc>) -> Result<RunningServer, ServerError> {
    let runtime = Handle::current();
    let make_app = move || {
        let chain = Chain {
            rpc: rpc.clone(),
            runtime: runtime.clone(),
        };
        App::new()
            .app_data(web::Data::new(chain))
            .app_data(web::PayloadConfig::new(MAX_REQUEST))
            .wrap(DefaultHeaders::new().add((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")))
            .service(
                web::resource("/")
                    .route(web::post().to(call))
                    .route(web::method(Method::OPTIONS).to(preflight)),
            )
    };
    let server = HttpServer::new(make_app)
        .workers(WORKERS)
        .worker_max_blocking_threads(1)
        // Nodes ask every few seconds. A connection that is closed while one asks costs an answer.
        .keep_alive(KEEP_ALIVE)
        .tcp_nodelay(true)
        .disable_signals()
        .shutdown_timeout(PATIENCE.as_secs())
        .listen(listener)?
        .run();
    Ok(RunningServer::new(server, PATIENCE))
}

/// What a browser asks before it lets a page of another origin call
/// ([Fetch](https://fetch.spec.whatwg.org/#cors-preflight-request)).
async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "*"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE))
        .finish()
}

async fn call(request: Bytes, chain: web::Data<Chain>) -> HttpResponse {
    let answer = OnRuntime::new(&chain.runtime, chain.rpc.call(&request)).await;
    HttpResponse::Ok().content_type(ContentType::json()).body(answer)
}
