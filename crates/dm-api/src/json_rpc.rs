//! The embedded chain as a JSON-RPC server, for other nodes and tools.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, http::header::ContentType, web};
use bytes::Bytes;
use dm_core::ports::JsonRpc;
use tokio::runtime::Handle;

use crate::{on_runtime::OnRuntime, running::RunningServer, server::ServerError};

/// Largest request in bytes, a batch included.
const MAX_REQUEST: usize = 16 << 20;
/// Worker threads: execution, not HTTP, takes the time.
const WORKERS: usize = 1;
/// How long requests in progress get when the server is stopped.
const PATIENCE: Duration = Duration::from_secs(5);

struct Chain {
    rpc: Arc<dyn JsonRpc>,
    runtime: Handle,
}

/// Answers `POST /` on the listener's address with what `rpc` says. It knows
/// no keys and no limits: listen on a loopback address.
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
            .service(web::resource("/").route(web::post().to(call)))
    };
    let server = HttpServer::new(make_app)
        .workers(WORKERS)
        .worker_max_blocking_threads(1)
        .tcp_nodelay(true)
        .disable_signals()
        .shutdown_timeout(PATIENCE.as_secs())
        .listen(listener)?
        .run();
    Ok(RunningServer::new(server, PATIENCE))
}

async fn call(request: Bytes, chain: web::Data<Chain>) -> HttpResponse {
    let answer = OnRuntime::new(&chain.runtime, chain.rpc.call(&request)).await;
    HttpResponse::Ok().content_type(ContentType::json()).body(answer)
}
