//! `GET /api/dashboard/settings`: how the node is set up, and by what.

use actix_web::{HttpResponse, http::Method, web::Data};
use dm_core::api_key::Scope;
use serde::Serialize;
use serde_json::{Value, json};

use super::ConsoleState;
use crate::{
    endpoint::{Endpoint, Router},
    route_info::Access,
};

/// A setting of the node, as it may be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownSetting {
    /// Its dotted name, such as `external_api.port`.
    pub name: String,
    /// Its value, `null` where it has none. Never a secret.
    pub value: Value,
    /// Where the value comes from.
    #[serde(flatten)]
    pub origin: SettingOrigin,
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", content = "place", rename_all = "lowercase")]
#[non_exhaustive]
pub enum SettingOrigin {
    /// Nobody gives it.
    Default,
    /// The command has a default of its own.
    Command,
    /// This configuration file.
    File(String),
    /// This environment variable.
    Environment(String),
    /// An option on the command line.
    Option,
}

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/dashboard/settings").on(Method::GET, Access::Needs(Scope::Admin), list));
}

async fn list(console: Data<ConsoleState>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"settings": console.console.settings}))
}
