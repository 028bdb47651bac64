#![doc = include_str!("../README.md")]

mod app;
mod console;
mod disposition;
mod endpoint;
mod error;
mod extract;
mod json_rpc;
mod key_routes;
mod listener;
mod middleware;
mod notes;
mod on_demand;
mod on_runtime;
mod protocol;
mod range;
mod request_meter;
mod route_info;
mod routes;
mod running;
mod server;
mod state;
mod tls;
mod uploads;

pub use console::{Console, SettingOrigin, ShownSetting};
pub use disposition::{attached_name, attachment};
pub use error::ApiError;
pub use json_rpc::serve_json_rpc;
pub use key_routes::{RouteFault, check_routes};
pub use request_meter::RequestReading;
pub use route_info::{Access, RouteInfo};
pub use routes::{external_routes, internal_routes, served_routes};
pub use running::RunningServer;
pub use server::{ApiHandle, ApiMeters, ApiServers, ServerError};
pub use state::Services;
pub use tls::{TlsFault, examine_tls};
