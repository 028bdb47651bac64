//! `/inbox`: what others have shared with this node.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, hash::DataHash, inbox::ItemState};
use dm_services::inbox::{InboxEntry, InboxFilter};
use serde::Serialize;

use super::said_of_data::SaidOfData;
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{data_hash_param, listing::ListingParams, party_param, time_param},
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/inbox").on(Method::GET, Access::Needs(Scope::Read), list));
    router.add(
        Endpoint::at("/inbox/{data_hash}")
            .on(Method::GET, Access::Needs(Scope::Read), get)
            .on(Method::DELETE, Access::Needs(Scope::Admin), remove),
    );
    router.add(Endpoint::at("/inbox/{data_hash}/acknowledge").on(
        Method::POST,
        Access::Needs(Scope::Read),
        acknowledge,
    ));
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
    #[serde(flatten)]
    said: SaidOfData,
    size: u64,
    /// Milliseconds since the Unix epoch, as all times.
    shared_at: u64,
    received_at: u64,
    expires_at: Option<u64>,
    state: ItemState,
    anchored: bool,
}

impl From<InboxEntry> for ItemAnswer {
    fn from(entry: InboxEntry) -> Self {
        let item = entry.item;
        Self {
            data_hash: item.data_hash,
            from: item.owner.to_string(),
            contact: entry.contact.map(|name| name.to_string()),
            said: entry.descriptor.description.into(),
            size: item.size,
            shared_at: item.shared_at,
            received_at: item.received_at,
            expires_at: item.expires_at,
            state: item.state,
            anchored: item.anchored,
        }
    }
}

async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked = ListingParams::of(&request)?;
    let from = match asked.get("from") {
        Some(text) => Some(state.address("from", party_param("from", text)?).await?),
        None => None,
    };
    let since = asked.get("since").map(|text| time_param("since", text));
    let filter = InboxFilter {
        from,
        states: asked.get("state").map(states).transpose()?.unwrap_or_default(),
        since: since.transpose()?,
        name: asked.name,
        labels: asked.labels,
    };
    let inbox = &state.services.inbox;
    let page = state.run(inbox.page(&filter, asked.cursor, asked.limit)).await?;
    Ok(HttpResponse::Ok().json(PageAnswer {
        items: page.entries.into_iter().map(Into::into).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
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

#[derive(Serialize)]
struct AcknowledgedAnswer {
    /// Milliseconds since the Unix epoch.
    acknowledged_at: u64,
    /// Position of the event in the log.
    receipt: Option<u64>,
}

async fn acknowledge(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let delivery = state.run(state.services.inbox.acknowledge(&hash)).await?;
    Ok(HttpResponse::Ok().json(AcknowledgedAnswer {
        acknowledged_at: delivery.statement.made_at,
        receipt: delivery.leaf_index,
    }))
}

async fn remove(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    state.run(state.services.inbox.remove(&hash)).await?;
    Ok(HttpResponse::NoContent().finish())
}
