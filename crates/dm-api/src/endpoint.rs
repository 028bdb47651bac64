//! A resource with its methods: who may call each, how long it may take, and
//! what other methods are told.

use std::{collections::BTreeSet, sync::Arc};

use actix_web::{
    FromRequest, Handler, HttpResponse, Resource, Responder, ResponseError, Route,
    body::BoxBody,
    guard,
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
    middleware::{Next, from_fn},
    web,
};
use dm_core::api_key::RouteName;

use crate::{
    error::ApiError,
    middleware::{
        authenticate::{self, Gate},
        deadline, trace,
    },
    route_info::{Access, Pace, RouteInfo},
};

/// Collects the endpoints of a server.
#[derive(Default)]
pub(crate) struct Router {
    endpoints: Vec<Endpoint>,
}

impl Router {
    pub(crate) fn add(&mut self, endpoint: Endpoint) {
        self.endpoints.push(endpoint);
    }

    /// What is served, for documents and tests.
    pub(crate) fn routes(&self) -> Vec<RouteInfo> {
        self.endpoints
            .iter()
            .flat_map(|endpoint| endpoint.routes.clone())
            .collect()
    }

    /// Hands the resources to actix.
    pub(crate) fn configure(self, config: &mut web::ServiceConfig) {
        for endpoint in self.endpoints {
            config.service(endpoint.into_resource());
        }
    }
}

/// A resource: one path and its methods.
pub(crate) struct Endpoint {
    path: &'static str,
    routes: Vec<RouteInfo>,
    resource: Resource,
}

impl Endpoint {
    pub(crate) fn at(path: &'static str) -> Self {
        Self {
            path,
            routes: Vec::new(),
            resource: web::resource(path),
        }
    }

    /// Serves a method within the request timeout. `GET` serves `HEAD`, too, unless a
    /// handler of its own was added before.
    pub(crate) fn on<H, Args>(self, method: Method, access: Access, handler: H) -> Self
    where
        H: Handler<Args>,
        Args: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.route(method, access, Pace::Limited, handler)
    }

    /// Serves a method whose body is streamed in.
    pub(crate) fn on_streamed<H, Args>(self, method: Method, access: Access, handler: H) -> Self
    where
        H: Handler<Args>,
        Args: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        self.route(method, access, Pace::Streamed, handler)
    }

    fn route<H, Args>(self, method: Method, access: Access, pace: Pace, handler: H) -> Self
    where
        H: Handler<Args>,
        Args: FromRequest + 'static,
        H::Output: Responder + 'static,
    {
        let served = if method == Method::GET {
            web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
        } else {
            web::method(method.clone())
        };
        self.add(method, access, pace, served.to(handler))
    }

    /// Puts what every route has before a handler. It stands apart from [`Endpoint::route`],
    /// which is compiled for each handler: closures there would be types of their own, and
    /// with them all that actix makes of them.
    fn add(mut self, method: Method, access: Access, pace: Pace, served: Route) -> Self {
        let path = self.path;
        let gate = Arc::new(Gate {
            access,
            route: RouteName::of(method.as_str(), path),
        });
        // The last one wrapped is the first one to see a request.
        let route = served
            .wrap(from_fn(move |request, next: Next<BoxBody>| {
                deadline::limit(pace, request, next)
            }))
            .wrap(from_fn(move |request, next: Next<BoxBody>| {
                authenticate::check(gate.clone(), request, next)
            }))
            .wrap(from_fn(move |request, next: Next<BoxBody>| {
                trace::note_route(path, request, next)
            }));
        self.resource = self.resource.route(route);
        self.routes.push(RouteInfo { method, path, access });
        self
    }

    fn into_resource(self) -> Resource {
        let allow = self.allowed_methods();
        self.resource.default_service(web::to(move || {
            let allow = allow.clone();
            async move { method_not_allowed(allow) }
        }))
    }

    fn allowed_methods(&self) -> HeaderValue {
        let mut methods: BTreeSet<&str> = self.routes.iter().map(|route| route.method.as_str()).collect();
        if methods.contains("GET") {
            methods.insert("HEAD");
        }
        let list = methods.into_iter().collect::<Vec<_>>().join(", ");
        HeaderValue::from_str(&list).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

fn method_not_allowed(allow: HeaderValue) -> HttpResponse {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
        .with_header(header::ALLOW, allow)
        .error_response()
}

/// The answer of every path that no endpoint has.
pub(crate) async fn not_found() -> HttpResponse {
    ApiError::new(StatusCode::NOT_FOUND, "Not found").error_response()
}
