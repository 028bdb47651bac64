//! HTTP over the connections of a server, with or without TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_http::{
    Extensions, HttpService, HttpServiceBuilder, Request, Response, TlsAcceptorConfig, h1::UpgradeHandler,
};
use actix_service::ServiceFactory;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::BoxBody;
use tokio::net::TcpStream;

use crate::{
    app::Blueprint,
    on_demand,
    tls::{Encrypted, LiveTls},
};

/// How long a client may take for a request's head, and for the handshake of TLS.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection is kept for a next request.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a closing connection may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What the worker threads of a server make of their connections.
#[derive(Clone)]
pub(crate) struct Protocol<S> {
    pub(crate) blueprint: Blueprint,
    pub(crate) address: SocketAddr,
    /// Waits until the server stops.
    pub(crate) stopping: S,
}

impl<S, W> Protocol<S>
where
    S: Fn() -> W + Clone + 'static,
    W: Future<Output = ()> + 'static,
{
    /// HTTP as it is.
    pub(crate) fn plain(
        self,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = impl Sized, InitError = ()> {
        self.http(|_: &TcpStream, _: &mut Extensions| {}).tcp()
    }

    /// HTTP over TLS.
    pub(crate) fn over_tls(
        self,
        tls: Arc<LiveTls>,
        config: rustls::ServerConfig,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = impl Sized, InitError = ()> {
        let patience = TlsAcceptorConfig::default().handshake_timeout(HEAD_PATIENCE);
        self.http(move |stream: &TlsStream<TcpStream>, about: &mut Extensions| {
            about.insert(Encrypted);
            if let Some(client) = tls.client(stream.get_ref().1) {
                about.insert(client);
            }
        })
        .rustls_0_23_with_config(config, patience)
    }

    #[expect(clippy::type_complexity, reason = "what it is made of has no names")]
    fn http<T, C>(
        self,
        connected: C,
    ) -> HttpService<
        T,
        impl ServiceFactory<
            Request,
            Config = (),
            Response = Response<BoxBody>,
            Error = Response<BoxBody>,
            InitError = (),
        >,
        BoxBody,
        impl ServiceFactory<Request, Config = (), Response = Request, Error = Response<BoxBody>, InitError = ()>,
        UpgradeHandler,
    >
    where
        C: Fn(&T, &mut Extensions) + 'static,
    {
        HttpServiceBuilder::default()
            .graceful_shutdown_signal(self.stopping.clone())
            .client_request_timeout(HEAD_PATIENCE)
            .client_disconnect_timeout(CLOSE_PATIENCE)
            .keep_alive(KEEP_ALIVE)
            // A client that has closed its side has gone away: its request ends.
            .h1_allow_half_closed(false)
            .tcp_nodelay(true)
            .local_addr(self.address)
            .on_connect_ext(connected)
            .expect(on_demand::expectation(self.blueprint.app()))
            .finish(on_demand::service(self.blueprint.app()))
    }
}
