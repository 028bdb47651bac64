//! Notes what people have asked the node to change, and what came of it.

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{Method, StatusCode},
    middleware::Next,
};
use dm_core::{
    api_key::RouteName,
    person::{Act, Person},
};
use dm_services::People;

use super::{request_id::RequestId, standing::Standing};
use crate::state::State;

/// Most characters of a path that are noted.
const MAX_PATH: usize = 300;

/// Has the request of a person answered. One that may change something is noted with its
/// outcome, unless it was refused.
pub(super) async fn pass(
    person: Arc<Person>,
    route: &RouteName,
    standing: Standing,
    state: &State,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match request.take_payload() {
        Payload::None => {}
        payload => request.set_payload(standing.received(payload)),
    }
    let method = request.method().clone();
    let note = (!method.is_safe()).then(|| Note::new(&person, route, &request, &state.services.people));
    let answer = standing.answered(&method, next.call(request)).await;
    if let Some(note) = note {
        note.answered(match &answer {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        });
    }
    let answer = answer?;
    if method == Method::HEAD {
        return Ok(answer);
    }
    Ok(answer.map_body(|_, body| standing.sent(body)))
}

/// An act that is under way. What becomes of it is not known where the client goes away
/// meanwhile: it is told then, too.
struct Note {
    people: People,
    act: Option<Act>,
}

impl Note {
    fn new(person: &Person, route: &RouteName, request: &ServiceRequest, people: &People) -> Self {
        let request_id = request
            .extensions()
            .get::<RequestId>()
            .map(|id| id.as_str().to_owned());
        let name = route.as_str();
        let pattern = name.split_once(' ').map_or(name, |(_, pattern)| pattern);
        Self {
            people: people.clone(),
            act: Some(Act {
                person: person.clone(),
                method: request.method().to_string(),
                route: pattern.to_owned(),
                path: request.path().chars().take(MAX_PATH).collect(),
                status: None,
                request_id: request_id.unwrap_or_default(),
            }),
        }
    }

    fn answered(mut self, status: StatusCode) {
        if let Some(act) = &mut self.act {
            act.status = Some(status.as_u16());
        }
        if status.is_client_error() {
            self.act = None;
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some(act) = self.act.take() {
            self.people.acted(act);
        }
    }
}
