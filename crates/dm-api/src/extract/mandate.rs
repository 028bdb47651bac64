//! An authorised user's signed statement, in the fields of a body or in headers.

use actix_web::http::header::{HeaderMap, HeaderName};
use dm_core::mandate::PresentedMandate;

use super::{
    fields::{self, Field},
    headers::header_text,
};
use crate::error::ApiError;

/// The headers of an upload that say what the fields of a body say elsewhere.
const USER_ID: HeaderName = HeaderName::from_static("x-user-id");
const STATEMENT: HeaderName = HeaderName::from_static("x-user-statement");
const SIGNATURE: HeaderName = HeaderName::from_static("x-user-signature");

/// The fields of a body that say who orders a share.
pub(crate) struct MandateFields<'a> {
    pub(crate) user_id: Field<'a>,
    pub(crate) statement: Field<'a>,
    pub(crate) signature: Field<'a>,
}

impl MandateFields<'_> {
    /// What the user has signed, if it was given: all of it or nothing.
    pub(crate) fn presented(&self) -> Result<Option<PresentedMandate>, ApiError> {
        complete(
            fields::text("user_id", self.user_id)?,
            fields::text("statement", self.statement)?,
            fields::text("signature", self.signature)?,
        )
    }
}

/// What the user has signed, if the headers say it.
pub(crate) fn presented_in_headers(headers: &HeaderMap) -> Result<Option<PresentedMandate>, ApiError> {
    complete(
        header_text(headers, &USER_ID, "X-User-Id")?,
        header_text(headers, &STATEMENT, "X-User-Statement")?,
        header_text(headers, &SIGNATURE, "X-User-Signature")?,
    )
}

fn complete(
    user_id: Option<String>,
    statement: Option<String>,
    signature: Option<String>,
) -> Result<Option<PresentedMandate>, ApiError> {
    let missing = |name| {
        ApiError::invalid(
            name,
            "is required, with user_id, statement and signature together",
        )
    };
    match (user_id, statement, signature) {
        (None, None, None) => Ok(None),
        (None, ..) => Err(missing("user_id")),
        (_, None, _) => Err(missing("statement")),
        (.., None) => Err(missing("signature")),
        (Some(user_id), Some(statement), Some(signature)) => Ok(Some(PresentedMandate {
            user_id,
            statement,
            signature,
        })),
    }
}
