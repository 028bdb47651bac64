//! `/contacts`: names for the addresses of others.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{
    api_key::Scope,
    contact::{Contact, ContactName, RecordPart, Trust},
};
use dm_services::NewContact;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody,
        fields::{self, Field},
        page_limit, query,
    },
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/contacts").on(Method::GET, Access::Needs(Scope::Read), list));
    router.add(
        Endpoint::at("/contacts/{name}")
            .on(Method::GET, Access::Needs(Scope::Read), get)
            .on(Method::PUT, Access::Needs(Scope::Admin), put)
            .on(Method::DELETE, Access::Needs(Scope::Admin), remove),
    );
}

#[derive(Serialize)]
struct ContactLine {
    name: ContactName,
    address: String,
    trust: Trust,
    note: Option<String>,
    /// Milliseconds since the Unix epoch.
    added_at: u64,
    /// What its address record says since the operator confirmed the contact.
    changed: Option<ChangeLine>,
}

#[derive(Serialize)]
struct ChangeLine {
    /// Milliseconds since the Unix epoch.
    at: u64,
    what: Vec<RecordPart>,
}

impl From<Contact> for ContactLine {
    fn from(contact: Contact) -> Self {
        let what = contact.changes();
        Self {
            changed: contact.changed.map(|change| ChangeLine { at: change.at, what }),
            name: contact.name,
            address: contact.address.to_string(),
            trust: contact.trust,
            note: contact.note,
            added_at: contact.added_at,
        }
    }
}

#[derive(Deserialize)]
struct PageParams {
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct ContactsAnswer {
    contacts: Vec<ContactLine>,
    /// The last name of a page that is full.
    next_cursor: Option<ContactName>,
}

async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let params: PageParams = query(&request)?;
    let limit = page_limit(params.limit.as_deref())?;
    let after = params.cursor.map(|cursor| name("cursor", &cursor)).transpose()?;
    let contacts = state
        .run(state.services.contacts.list(after.as_ref(), limit))
        .await?;
    let last = contacts.last().filter(|_| contacts.len() == limit);
    Ok(HttpResponse::Ok().json(ContactsAnswer {
        next_cursor: last.map(|contact| contact.name.clone()),
        contacts: contacts.into_iter().map(ContactLine::from).collect(),
    }))
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let name = named(&request)?;
    let contact = state.run(state.services.contacts.get(&name)).await?;
    Ok(HttpResponse::Ok().json(ContactLine::from(contact)))
}

#[derive(Deserialize)]
struct PutRequest<'a> {
    #[serde(borrow)]
    address: Field<'a>,
    #[serde(borrow)]
    trust: Field<'a>,
    #[serde(borrow)]
    note: Field<'a>,
}

async fn put(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let name = named(&request)?;
    let asked: PutRequest<'_> = body.parse()?;
    let address = fields::address("address", asked.address)?;
    let trust = fields::text("trust", asked.trust)?.unwrap_or_default();
    let trust = trust
        .parse()
        .map_err(|reason| ApiError::invalid("trust", reason))?;
    let new = NewContact {
        address,
        trust,
        note: fields::text("note", asked.note)?,
    };
    let contacts = state.services.contacts.clone();
    let (contact, is_new) = state
        .complete(async move { contacts.put(name, new).await })
        .await?;
    let mut response = if is_new {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    Ok(response.json(ContactLine::from(contact)))
}

#[derive(Serialize)]
struct RemovedAnswer {
    success: bool,
    name: ContactName,
}

async fn remove(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let name = named(&request)?;
    let (contacts, removed) = (state.services.contacts.clone(), name.clone());
    state
        .complete(async move { contacts.remove(&removed).await })
        .await?;
    Ok(HttpResponse::Ok().json(RemovedAnswer { success: true, name }))
}

/// The contact that the path names.
fn named(request: &HttpRequest) -> Result<ContactName, ApiError> {
    name("name", request.match_info().query("name"))
}

fn name(field: &'static str, text: &str) -> Result<ContactName, ApiError> {
    text.parse().map_err(|reason| ApiError::invalid(field, reason))
}
