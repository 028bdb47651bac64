//! `/shares`: where the shares of this node stand.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{
    B256,
    api_key::Scope,
    event::EventKind,
    hash::DataHash,
    ports::HistoryEntry,
    sent::{SentState, UnknownSentState},
    share::ShareStatus,
};
use dm_services::shares::{ShareEntry, ShareFilter};
use serde::Serialize;

use super::{said_of_data::SaidOfData, share_answer::PaymentAnswer};
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{data_hash_param, listing::ListingParams, party_param},
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/shares").on(Method::GET, Access::Needs(Scope::Read), list));
    router.add(Endpoint::at("/shares/{data_hash}").on(Method::GET, Access::Needs(Scope::Read), get));
}

#[derive(Serialize)]
struct PageAnswer {
    shares: Vec<ShareLine>,
    next_cursor: Option<String>,
}

/// A share. Times are milliseconds since the Unix epoch; `null` where it is not so far, or
/// where it is not known.
#[derive(Serialize)]
struct ShareLine {
    data_hash: DataHash,
    recipient: String,
    /// By which name the recipient is known here.
    contact: Option<String>,
    #[serde(flatten)]
    said: SaidOfData,
    size: Option<u64>,
    state: SentState,
    status: ShareStatus,
    created_at: u64,
    replicas: u32,
    replicas_wanted: u32,
    grant: &'static str,
    granted_at: Option<u64>,
    /// Position of its event in the log.
    receipt: Option<u64>,
    recorded_at: Option<u64>,
    tx_hash: Option<B256>,
    block: Option<u64>,
    anchored_at: Option<u64>,
    notified_at: Option<u64>,
    fetched_at: Option<u64>,
    acknowledged_at: Option<u64>,
    /// Position of the event of the delivery.
    delivery_receipt: Option<u64>,
    ended_at: Option<u64>,
    expires_at: Option<u64>,
    payment: Option<PaymentAnswer>,
}

impl ShareLine {
    fn of(entry: ShareEntry, replicas_wanted: u32) -> Self {
        let (share, anchor) = (entry.share, entry.anchor);
        let said = entry.descriptor.map(|descriptor| descriptor.description);
        Self {
            data_hash: share.data_hash,
            recipient: share.recipient.to_string(),
            contact: entry.contact.map(|name| name.to_string()),
            said: said.map(SaidOfData::from).unwrap_or_default(),
            size: share.size,
            state: share.state,
            status: ShareStatus::of(anchor.as_ref().map(|anchor| &anchor.tx_hash)),
            created_at: share.created_at,
            replicas: share.replicas,
            replicas_wanted,
            grant: match share.grant_pending {
                true => "pending",
                false => "made",
            },
            granted_at: share.granted_at,
            receipt: share.leaf_index,
            recorded_at: share.recorded_at,
            tx_hash: anchor.map(|anchor| anchor.tx_hash),
            block: anchor.map(|anchor| anchor.block),
            anchored_at: anchor.map(|anchor| anchor.timestamp.saturating_mul(1000)),
            notified_at: share.notified_at,
            fetched_at: share.fetched_at,
            acknowledged_at: share.acknowledged_at,
            delivery_receipt: share.delivery_index,
            ended_at: share.ended_at,
            expires_at: share.expires_at,
            payment: entry.payment.as_ref().map(PaymentAnswer::from),
        }
    }
}

async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked = ListingParams::of(&request)?;
    let recipient = match asked.get("recipient") {
        Some(text) => Some(
            state
                .address("recipient", party_param("recipient", text)?)
                .await?,
        ),
        None => None,
    };
    let filter = ShareFilter {
        recipient,
        states: asked.get("state").map(states).transpose()?.unwrap_or_default(),
        name: asked.name,
        labels: asked.labels,
    };
    let shares = &state.services.shares;
    let page = state.run(shares.page(&filter, asked.cursor, asked.limit)).await?;
    let entries = page.entries.into_iter();
    Ok(HttpResponse::Ok().json(PageAnswer {
        shares: entries
            .map(|entry| ShareLine::of(entry, shares.replicas_wanted()))
            .collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

fn states(text: &str) -> Result<Vec<SentState>, ApiError> {
    let named: Result<Vec<SentState>, UnknownSentState> = text.split(',').map(str::parse).collect();
    named.map_err(|unknown| ApiError::invalid("state", unknown))
}

#[derive(Serialize)]
struct DataAnswer {
    data_hash: DataHash,
    #[serde(flatten)]
    said: SaidOfData,
    size: Option<u64>,
    replicas: u32,
    replicas_wanted: u32,
    expires_at: Option<u64>,
    readers: Vec<String>,
    shares: Vec<ShareLine>,
    events: Vec<EventLine>,
}

#[derive(Serialize)]
struct EventLine {
    event_type: EventKind,
    recipient: Option<String>,
    /// Milliseconds since the Unix epoch.
    recorded_at: u64,
    /// Position in the log: the receipt's id.
    receipt: u64,
    tx_hash: Option<B256>,
}

impl From<HistoryEntry> for EventLine {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            event_type: entry.event.event_type,
            recipient: entry.event.recipient.map(|address| address.to_string()),
            recorded_at: entry.event.timestamp,
            receipt: entry.index,
            tx_hash: entry.tx_hash,
        }
    }
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let data_hash = data_hash_param(&request)?;
    let shares = &state.services.shares;
    let replicas_wanted = shares.replicas_wanted();
    let shared = state.run(shares.of_data(&data_hash)).await?;
    let newest = shared.entries.first();
    let said = newest.and_then(|entry| entry.descriptor.clone());
    let said = said.map(|descriptor| SaidOfData::from(descriptor.description));
    let lines = |entries: Vec<ShareEntry>| {
        let entries = entries.into_iter();
        entries
            .map(|entry| ShareLine::of(entry, replicas_wanted))
            .collect()
    };
    Ok(HttpResponse::Ok().json(DataAnswer {
        data_hash,
        said: said.unwrap_or_default(),
        size: newest.and_then(|entry| entry.share.size),
        replicas: newest.map_or(0, |entry| entry.share.replicas),
        replicas_wanted,
        expires_at: newest.and_then(|entry| entry.share.expires_at),
        readers: shared.readers.iter().map(ToString::to_string).collect(),
        shares: lines(shared.entries),
        events: shared.events.into_iter().map(EventLine::from).collect(),
    }))
}
