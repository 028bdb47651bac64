//! `/inbox`: what others have shared with this node.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{
    api_key::Scope,
    contact::Party,
    descriptor::{LabelPairs, Labels},
    hash::DataHash,
    inbox::ItemState,
};
use dm_services::inbox::{InboxEntry, InboxFilter};
use serde::Serialize;

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{data_hash_param, page_cursor, page_limit, party_param, query, time_param},
    route_info::Access,
    state::State,
};

/// What the name of a parameter that asks for a label begins with.
const LABEL: &str = "label.";

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/inbox").on(Method::GET, Access::Needs(Scope::Read), list));
    router.add(
        Endpoint::at("/inbox/{data_hash}")
            .on(Method::GET, Access::Needs(Scope::Read), get)
            .on(Method::DELETE, Access::Needs(Scope::Admin), remove),
    );
}

#[derive(Serialize)]
struct PageAnswer {
    items: Vec<ItemAnswer>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct ItemAnswer {
    data_hash: DataHash,
    from: String,
    /// By which name the sender is known here.
    contact: Option<String>,
    name: Option<String>,
    media_type: Option<String>,
    size: u64,
    labels: BTreeMap<String, String>,
    correlation_id: Option<String>,
    supersedes: Option<DataHash>,
    /// Milliseconds since the Unix epoch, as all times.
    shared_at: u64,
    received_at: u64,
    expires_at: Option<u64>,
    state: ItemState,
    anchored: bool,
}

impl From<InboxEntry> for ItemAnswer {
    fn from(entry: InboxEntry) -> Self {
        let (item, said) = (entry.item, entry.descriptor.description);
        let labels = said.labels.iter();
        Self {
            data_hash: item.data_hash,
            from: item.owner.to_string(),
            contact: entry.contact.map(|name| name.to_string()),
            name: said.name.map(|name| name.to_string()),
            media_type: said.media_type.map(|media_type| media_type.to_string()),
            size: item.size,
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            correlation_id: said.correlation_id.map(|id| id.to_string()),
            supersedes: said.supersedes,
            shared_at: item.shared_at,
            received_at: item.received_at,
            expires_at: item.expires_at,
            state: item.state,
            anchored: item.anchored,
        }
    }
}

/// What is asked of a page.
#[derive(Default)]
struct Asked {
    filter: InboxFilter,
    from: Option<Party>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let mut asked = asked(query(&request)?)?;
    if let Some(party) = asked.from {
        asked.filter.from = Some(state.address("from", party).await?);
    }
    let limit = page_limit(asked.limit.as_deref())?;
    let cursor = page_cursor(asked.cursor.as_deref())?;
    let page = state
        .run(state.services.inbox.page(&asked.filter, cursor, limit))
        .await?;
    Ok(HttpResponse::Ok().json(PageAnswer {
        items: page.entries.into_iter().map(Into::into).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

/// Reads the parameters; those that are not known are skipped.
fn asked(parameters: Vec<(String, String)>) -> Result<Asked, ApiError> {
    let mut asked = Asked::default();
    let mut labels = Vec::new();
    for (name, text) in parameters {
        match name.as_str() {
            "from" => asked.from = Some(party_param("from", &text)?),
            "name" => asked.filter.name = Some(text),
            "state" => asked.filter.states = states(&text)?,
            "since" => asked.filter.since = Some(time_param("since", &text)?),
            "limit" => asked.limit = Some(text),
            "cursor" => asked.cursor = Some(text),
            other => labels.extend(other.strip_prefix(LABEL).map(|key| (key.to_owned(), text))),
        }
    }
    let labels = Labels::try_from(labels.into_iter().collect::<LabelPairs>());
    let labels = labels.map_err(|error| ApiError::invalid(error.field, error.reason))?;
    let pairs = labels
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    asked.filter.labels = pairs.collect();
    Ok(asked)
}

fn states(text: &str) -> Result<Vec<ItemState>, ApiError> {
    let named: Option<Vec<ItemState>> = text.split(',').map(ItemState::named).collect();
    named.ok_or_else(|| {
        let all = ItemState::ALL.map(ItemState::as_str).join(", ");
        ApiError::invalid("state", format!("must be some of {all}, comma-separated"))
    })
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let entries = state.run(state.services.inbox.entries_of(&hash)).await?;
    let newest = entries
        .into_iter()
        .next()
        .ok_or(dm_services::ServiceError::NotFound)?;
    Ok(HttpResponse::Ok().json(ItemAnswer::from(newest)))
}

async fn remove(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    state.run(state.services.inbox.remove(&hash)).await?;
    Ok(HttpResponse::NoContent().finish())
}
