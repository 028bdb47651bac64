//! What handlers take out of a request, each with the sentence that a client
//! gets where it is not valid.

pub(crate) mod description;
pub(crate) mod fields;
mod headers;
mod json_body;
pub(crate) mod listing;
pub(crate) mod mandate;
pub(crate) mod money;
mod page;
mod params;
pub(crate) mod recipients;
mod time;
pub(crate) mod tus;

pub(crate) use self::time::{time, time_param};
pub(crate) use headers::{allowed_recipient, bearer, idempotency_key, refuse_encoded_body};
pub(crate) use json_body::{JsonBody, body_cut_off, body_stalled, not_json};
pub(crate) use page::{page_cursor, page_limit};
pub(crate) use params::{
    address_param, data_hash_param, party_param, query, switch_param, wants_explanation,
};
