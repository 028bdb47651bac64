//! Notes what people and the bearers of API keys have asked the node to change, and what came of it.

use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
};
use dm_core::{
    act::Act,
    api_key::{Principal, Scope},
};
use dm_services::People;

use super::{authenticate::Gate, request_id::RequestId};
use crate::route_info::Access;

/// Most characters of a path that are noted.
const MAX_PATH: usize = 300;

/// What programs ask for many times a second, and what says who has asked in another way: each share
/// has a line of its own, in the span of its request, and an upload that of its beginning. A receipt is
/// only looked at.
const TOLD_ELSEWHERE: [&str; 5] = [
    "POST /share_data",
    "PUT /objects",
    "PATCH /uploads/{id}",
    "POST /uploads/{id}",
    "POST /receipts/verify",
];

/// An act that is under way. What becomes of it is not known where its connection breaks
/// meanwhile: it is told then, too.
pub(super) struct UnderWay {
    people: People,
    bearer: Principal,
    /// Whether it takes a key for operators.
    is_administration: bool,
    act: Option<Act>,
}

/// The act that a request is; `None` where it only reads, or is told elsewhere.
pub(super) fn begin(
    bearer: &Principal,
    gate: &Gate,
    request: &ServiceRequest,
    people: &People,
) -> Option<UnderWay> {
    let route = gate.route.as_str();
    let is_told = bearer.person.is_some() || !TOLD_ELSEWHERE.contains(&route);
    if request.method().is_safe() || !is_told {
        return None;
    }
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .map(|id| id.as_str().to_owned());
    let pattern = route.split_once(' ').map_or(route, |(_, pattern)| pattern);
    Some(UnderWay {
        people: people.clone(),
        bearer: bearer.clone(),
        is_administration: matches!(gate.access, Access::Needs(Scope::Admin)),
        act: Some(Act {
            method: request.method().to_string(),
            route: pattern.to_owned(),
            path: request.path().chars().take(MAX_PATH).collect(),
            status: None,
            request_id: request_id.unwrap_or_default(),
        }),
    })
}

impl UnderWay {
    /// Notes what came of it, unless it was refused.
    pub(super) fn end(mut self, answer: &Result<ServiceResponse<BoxBody>, Error>) {
        let status = match answer {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        if status.is_client_error() {
            self.act = None;
        }
        if let Some(act) = &mut self.act {
            act.status = Some(status.as_u16());
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(act) = self.act.take() else {
            return;
        };
        match &self.bearer.person {
            Some(person) => self.people.acted(person, act),
            None => self.people.key_acted(&self.bearer, act, self.is_administration),
        }
    }
}
