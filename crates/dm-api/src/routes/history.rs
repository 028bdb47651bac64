//! `GET /compliance_history`: this node's log, newest first, in pages.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{
    B256,
    api_key::Scope,
    event::EventKind,
    hash::DataHash,
    ports::{EventFilter, HistoryEntry, HistoryPage, HistoryQuery},
};
use serde::{Deserialize, Serialize};

use super::seconds::seconds;
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{page_cursor, page_limit, query},
    route_info::Access,
    state::State,
};

/// Longest name in the filter list.
const MAX_FILTER_LENGTH: usize = 100;

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/compliance_history").on(Method::GET, Access::Needs(Scope::Read), get));
}

#[derive(Deserialize)]
struct HistoryParams {
    filters: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct HistoryAnswer {
    history: Vec<HistoryLine>,
    count: usize,
    filters: Vec<String>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct HistoryLine {
    event_type: EventKind,
    data_hash: Option<DataHash>,
    recipient: Option<String>,
    /// Seconds since the Unix epoch, with milliseconds.
    timestamp: f64,
    tx_hash: Option<B256>,
    /// The authorised user who ordered it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// Position in the log.
    index: u64,
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let params: HistoryParams = query(&request)?;
    let filters = filters(params.filters.as_deref())?;
    let page = match asked(&filters, &params)? {
        Some(query) => state.run(state.services.log.history(&query)).await?,
        None => HistoryPage::default(),
    };
    Ok(HttpResponse::Ok().json(HistoryAnswer {
        count: page.entries.len(),
        history: page.entries.iter().map(line).collect(),
        filters,
        next_cursor: page.next.map(|position| position.to_string()),
    }))
}

/// What to ask the log; `None` where no event can match, because the filters
/// name only types that there are none of.
fn asked(filters: &[String], params: &HistoryParams) -> Result<Option<HistoryQuery>, ApiError> {
    let limit = page_limit(params.limit.as_deref())?;
    let before = page_cursor(params.cursor.as_deref())?;
    let kinds: BTreeSet<EventKind> = filters.iter().filter_map(|name| name.parse().ok()).collect();
    if kinds.is_empty() && !filters.is_empty() {
        return Ok(None);
    }
    Ok(Some(HistoryQuery {
        filter: EventFilter {
            kinds,
            ..EventFilter::default()
        },
        before,
        limit,
    }))
}

fn filters(text: Option<&str>) -> Result<Vec<String>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    if !names.iter().all(|name| is_filter(name)) {
        return Err(ApiError::invalid(
            "filters",
            "must be comma-separated names of 1 to 100 letters, digits, `_` or `-`",
        ));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

fn is_filter(name: &str) -> bool {
    (1..=MAX_FILTER_LENGTH).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn line(entry: &HistoryEntry) -> HistoryLine {
    HistoryLine {
        event_type: entry.event.event_type,
        data_hash: entry.event.data_hash,
        recipient: entry.event.recipient.map(|address| address.to_string()),
        timestamp: seconds(entry.event.timestamp),
        tx_hash: entry.tx_hash,
        user_id: entry
            .event
            .mandate
            .as_ref()
            .map(|mandate| mandate.user_id.to_string()),
        index: entry.index,
    }
}
