//! `/subscriptions`: programs that are called when something happens.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::Data,
};
use dm_core::{
    Address,
    api_key::Scope,
    journal::{Cursor, Topics},
    subscription::{DeadLetter, EventMatch, Subscription, SubscriptionId},
};
use dm_services::{NewSubscription, ServiceError, events::From};
use serde::{Deserialize, Serialize};

use super::seconds::seconds;
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody,
        fields::{self, Field},
        page_cursor, page_limit, party_param, query,
    },
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    let needs = Access::Needs(Scope::Admin);
    router.add(
        Endpoint::at("/subscriptions")
            .on(Method::GET, needs, list)
            .on(Method::POST, needs, create),
    );
    router.add(
        Endpoint::at("/subscriptions/{id}")
            .on(Method::GET, needs, get)
            .on(Method::PATCH, needs, change)
            .on(Method::DELETE, needs, remove),
    );
    router.add(Endpoint::at("/subscriptions/{id}/replay").on(Method::POST, needs, replay));
    router.add(Endpoint::at("/subscriptions/{id}/deliveries").on(Method::GET, needs, deliveries));
}

#[derive(Serialize)]
struct SubscriptionAnswer {
    id: String,
    name: String,
    url: String,
    topics: Vec<String>,
    filter: BTreeMap<String, String>,
    state: &'static str,
    /// Seconds since the Unix epoch, with milliseconds.
    created_at: f64,
    /// Attempts for the next event that failed.
    failed_attempts: u32,
    /// When the next event is tried again; `null`: at once.
    next_try: Option<f64>,
    last_error: Option<String>,
    /// Events that were forgotten before they could be delivered.
    missed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

fn answer(subscription: Subscription, secret: Option<String>) -> SubscriptionAnswer {
    let progress = subscription.progress;
    SubscriptionAnswer {
        id: subscription.id.to_string(),
        name: subscription.name,
        url: subscription.url,
        topics: subscription.topics.names().to_vec(),
        filter: filter_texts(&subscription.filter),
        state: subscription.state.as_str(),
        created_at: seconds(subscription.created_at),
        failed_attempts: progress.attempts,
        next_try: (progress.next_try > 0).then(|| seconds(progress.next_try)),
        last_error: progress.last_error,
        missed: progress.missed,
        secret,
    }
}

fn filter_texts(filter: &EventMatch) -> BTreeMap<String, String> {
    let accounts = [("from", filter.from), ("recipient", filter.recipient)];
    let accounts = accounts
        .into_iter()
        .filter_map(|(name, account)| Some((name.to_owned(), account?.to_string())));
    let labels = filter.labels.iter();
    let labels = labels.map(|(key, value)| (format!("{LABEL}{key}"), value.clone()));
    accounts.chain(labels).collect()
}

/// Begins the names of labels in a filter.
const LABEL: &str = "label.";

#[derive(Serialize)]
struct SubscriptionsAnswer {
    subscriptions: Vec<SubscriptionAnswer>,
}

async fn list(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let subscriptions = state.run(state.services.subscriptions.list()).await?;
    Ok(HttpResponse::Ok().json(SubscriptionsAnswer {
        subscriptions: subscriptions.into_iter().map(|kept| answer(kept, None)).collect(),
    }))
}

#[derive(Deserialize)]
struct CreateRequest<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    url: Field<'a>,
    #[serde(borrow)]
    topics: Field<'a>,
    #[serde(borrow)]
    filter: Field<'a>,
    #[serde(borrow)]
    start: Field<'a>,
    #[serde(borrow)]
    secret: Field<'a>,
}

async fn create(body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: CreateRequest<'_> = body.parse()?;
    let topics: Vec<String> = fields::value("topics", asked.topics, "must be an array of strings")?
        .ok_or_else(|| ApiError::invalid("topics", "must be an array of strings"))?;
    let filter: Option<BTreeMap<String, String>> =
        fields::value("filter", asked.filter, "must be an object of strings")?;
    let new = NewSubscription {
        name: fields::text("name", asked.name)?.unwrap_or_default(),
        url: fields::text("url", asked.url)?.unwrap_or_default(),
        topics: Topics::new(topics.iter().map(String::as_str))
            .map_err(|reason| ApiError::invalid("topics", reason))?,
        filter: read_filter(filter.unwrap_or_default(), &state).await?,
        start: start(fields::text("start", asked.start)?.as_deref())?,
        secret: fields::text("secret", asked.secret)?,
    };
    let subscriptions = state.services.subscriptions.clone();
    let (made, secret) = state
        .complete(async move { subscriptions.create(new).await })
        .await?;
    Ok(HttpResponse::Created().json(answer(made, Some(secret))))
}

fn start(text: Option<&str>) -> Result<From, ApiError> {
    match text {
        None | Some("now") => Ok(From::Now),
        Some("beginning") => Ok(From::Beginning),
        Some(cursor) => cursor
            .parse()
            .map(From::After)
            .map_err(|_| ApiError::invalid("start", "must be now, beginning, or a cursor")),
    }
}

/// The address of an account in a filter.
async fn account(text: &str, state: &State) -> Result<Address, ApiError> {
    state.address("filter", party_param("filter", text)?).await
}

async fn read_filter(texts: BTreeMap<String, String>, state: &State) -> Result<EventMatch, ApiError> {
    let mut filter = EventMatch::default();
    for (name, text) in texts {
        match name.as_str() {
            "from" => filter.from = Some(account(&text, state).await?),
            "recipient" => filter.recipient = Some(account(&text, state).await?),
            _ => match name.strip_prefix(LABEL).filter(|key| !key.is_empty()) {
                Some(key) => {
                    filter.labels.insert(key.to_owned(), text);
                }
                None => {
                    let reason = "may have from, recipient, and label.KEY";
                    return Err(ApiError::invalid("filter", reason));
                }
            },
        }
    }
    Ok(filter)
}

fn id(request: &HttpRequest) -> Result<SubscriptionId, ApiError> {
    let text = request.match_info().query("id");
    text.parse().map_err(|reason| ApiError::invalid("id", reason))
}

/// A subscription that there is not has a sentence of its own.
fn named(error: ServiceError) -> ApiError {
    match error {
        ServiceError::NotFound => ApiError::new(StatusCode::NOT_FOUND, "Subscription not found"),
        other => other.into(),
    }
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked = state.services.subscriptions.get(id(&request)?);
    let kept = state.run(asked).await.map_err(named)?;
    Ok(HttpResponse::Ok().json(answer(kept, None)))
}

#[derive(Deserialize)]
struct ChangeRequest<'a> {
    #[serde(borrow)]
    paused: Field<'a>,
}

async fn change(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: ChangeRequest<'_> = body.parse()?;
    let paused: Option<bool> = fields::value("paused", asked.paused, "must be true or false")?;
    let paused = paused.ok_or_else(|| ApiError::invalid("paused", "must be true or false"))?;
    let (subscriptions, id) = (state.services.subscriptions.clone(), id(&request)?);
    let changed = state
        .complete(async move { subscriptions.set_paused(id, paused).await.map_err(named) })
        .await?;
    Ok(HttpResponse::Ok().json(answer(changed, None)))
}

async fn remove(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let (subscriptions, id) = (state.services.subscriptions.clone(), id(&request)?);
    state
        .complete(async move { subscriptions.remove(id).await.map_err(named) })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
struct ReplayRequest<'a> {
    #[serde(borrow)]
    cursor: Field<'a>,
}

#[derive(Serialize)]
struct ReplayAnswer {
    success: bool,
}

async fn replay(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: ReplayRequest<'_> = body.parse()?;
    let text = fields::text("cursor", asked.cursor)?.unwrap_or_default();
    let after: Cursor = text
        .parse()
        .map_err(|reason| ApiError::invalid("cursor", reason))?;
    let (subscriptions, id) = (state.services.subscriptions.clone(), id(&request)?);
    state
        .complete(async move { subscriptions.replay(id, after).await.map_err(named) })
        .await?;
    Ok(HttpResponse::Accepted().json(ReplayAnswer { success: true }))
}

#[derive(Deserialize)]
struct DeliveriesParams {
    state: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct DeliveriesAnswer {
    deliveries: Vec<Delivery>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Delivery {
    /// Id of the event.
    event: String,
    /// Its topic.
    topic: String,
    state: &'static str,
    attempts: u32,
    /// When it was given up, in seconds since the Unix epoch.
    failed_at: f64,
    reason: String,
}

async fn deliveries(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let params: DeliveriesParams = query(&request)?;
    if params.state.as_deref().is_some_and(|state| state != "failed") {
        return Err(ApiError::invalid("state", "must be failed"));
    }
    let limit = page_limit(params.limit.as_deref())?;
    let after = page_cursor(params.cursor.as_deref())?.unwrap_or(0);
    let services = &state.services;
    let asked = services.subscriptions.dead_letters(id(&request)?, after, limit);
    let letters = state.run(asked).await.map_err(named)?;
    let journal = state.run(services.events.end()).await?;
    let last = letters.last().filter(|_| letters.len() == limit);
    Ok(HttpResponse::Ok().json(DeliveriesAnswer {
        next_cursor: last.map(|letter| letter.position.to_string()),
        deliveries: letters
            .into_iter()
            .map(|letter| delivery(letter, journal))
            .collect(),
    }))
}

fn delivery(letter: DeadLetter, journal: Cursor) -> Delivery {
    let event = Cursor {
        position: letter.position,
        ..journal
    };
    Delivery {
        event: event.to_string(),
        topic: letter.topic,
        state: "failed",
        attempts: letter.attempts,
        failed_at: seconds(letter.failed_at),
        reason: letter.reason,
    }
}
