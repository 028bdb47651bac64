//! Whom a share is for: one recipient, or several at once.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use dm_core::{
    Address,
    contact::Party,
    share::{ShareOutcome, ShareTerms},
};
use dm_services::ShareOutcomes;

use super::{
    allowed_recipient,
    fields::{self, Field},
    party_param,
    tus::Metadata,
};
use crate::{error::ApiError, state::State};

/// Most recipients of one request.
const MAX_RECIPIENTS: usize = 64;

const ONE: &str = "recipient";
const LIST: &str = "recipients";

/// Recipients as a request names them.
pub(crate) enum NamedRecipients {
    /// In this field.
    One(&'static str, Party),
    Several(Vec<Party>),
}

/// Recipients by their addresses.
pub(crate) enum Recipients {
    /// The API key may share with it.
    One(Address),
    Several(SeveralRecipients),
}

/// Recipients of one request, of which each has an outcome of its own.
pub(crate) struct SeveralRecipients {
    /// At least one, each once.
    asked: Vec<Address>,
    /// Those with whom the API key may not share; never all of them.
    forbidden: BTreeMap<Address, ApiError>,
}

impl NamedRecipients {
    /// Those in the fields of a body.
    pub(crate) fn in_fields(recipient: Field<'_>, recipients: Field<'_>) -> Result<Self, ApiError> {
        let listed: Option<Vec<String>> = fields::value(LIST, recipients, "must be a list of strings")?;
        match listed {
            Some(_) if fields::is_given(recipient) => Err(both()),
            Some(listed) => Self::several(listed.iter().map(String::as_str)),
            None => fields::party(ONE, recipient).map(|party| Self::One(ONE, party)),
        }
    }

    /// Those in a query string, where several are separated by commas.
    pub(crate) fn in_query(recipient: Option<&str>, recipients: Option<&str>) -> Result<Self, ApiError> {
        match (recipient, recipients) {
            (Some(_), Some(_)) => Err(both()),
            (None, Some(listed)) => Self::several(listed.split(',')),
            (recipient, None) => {
                party_param(ONE, recipient.unwrap_or_default()).map(|party| Self::One(ONE, party))
            }
        }
    }

    /// Those in the metadata of an upload, which has one key for one recipient and for several.
    pub(crate) fn in_metadata(metadata: &Metadata) -> Result<Self, ApiError> {
        let listed = metadata.get(LIST).unwrap_or_default();
        if listed.contains(',') {
            return Self::several(listed.split(',').map(str::trim));
        }
        party_param(LIST, listed.trim()).map(|party| Self::One(LIST, party))
    }

    fn several<'a>(listed: impl Iterator<Item = &'a str>) -> Result<Self, ApiError> {
        let parties = listed
            .take(MAX_RECIPIENTS + 1)
            .map(|text| party_param(LIST, text))
            .collect::<Result<Vec<_>, _>>()?;
        if !(1..=MAX_RECIPIENTS).contains(&parties.len()) {
            let reason = format!("must name 1 to {MAX_RECIPIENTS} recipients");
            return Err(ApiError::invalid(LIST, reason));
        }
        Ok(Self::Several(parties))
    }

    /// Their addresses, each once. 403 where the API key may share with none of them.
    pub(crate) async fn addresses(
        self,
        request: &HttpRequest,
        state: &State,
    ) -> Result<Recipients, ApiError> {
        match self {
            Self::One(field, party) => {
                let recipient = state.address(field, party).await?;
                allowed_recipient(request, field, recipient).map(Recipients::One)
            }
            Self::Several(parties) => {
                let mut asked = Vec::with_capacity(parties.len());
                for party in parties {
                    let recipient = state.address(LIST, party).await?;
                    if asked.contains(&recipient) {
                        return Err(ApiError::invalid(LIST, format!("names {recipient} twice")));
                    }
                    asked.push(recipient);
                }
                SeveralRecipients::allowed(request, asked).map(Recipients::Several)
            }
        }
    }
}

fn both() -> ApiError {
    ApiError::invalid(LIST, "and recipient exclude each other")
}

impl Recipients {
    /// One of them, for terms that are the same for all.
    pub(crate) fn first(&self) -> Address {
        match self {
            Self::One(recipient) => *recipient,
            Self::Several(several) => several.asked.first().copied().unwrap_or_default(),
        }
    }

    /// The terms of each share that may be made.
    pub(crate) fn terms_of_each(&self, terms: ShareTerms) -> Vec<ShareTerms> {
        match self {
            Self::One(_) => vec![terms],
            Self::Several(several) => several.terms(terms),
        }
    }

    /// Refuses what one recipient, or a user, signs for a single share.
    pub(crate) fn ensure_fit_for(&self, field: &'static str, is_given: bool) -> Result<(), ApiError> {
        match self {
            Self::Several(_) if is_given => Err(ApiError::invalid(
                field,
                "is signed for one recipient and cannot come with recipients: share with one at a time",
            )),
            _ => Ok(()),
        }
    }
}

impl SeveralRecipients {
    /// These recipients. 403 where the API key may share with none of them.
    pub(crate) fn allowed(request: &HttpRequest, asked: Vec<Address>) -> Result<Self, ApiError> {
        let refusal = |recipient: &Address| {
            let refused = allowed_recipient(request, LIST, *recipient).err()?;
            Some((*recipient, refused))
        };
        let mut forbidden: BTreeMap<Address, ApiError> = asked.iter().filter_map(refusal).collect();
        if forbidden.len() < asked.len() {
            return Ok(Self { asked, forbidden });
        }
        let first = asked.first().and_then(|first| forbidden.remove(first));
        Err(first.unwrap_or_else(ApiError::unauthorized))
    }

    /// The terms of the shares that may be made.
    pub(crate) fn terms(&self, terms: ShareTerms) -> Vec<ShareTerms> {
        let mut each = terms.for_each(&self.asked);
        each.retain(|terms| !self.forbidden.contains_key(&terms.recipient));
        each
    }

    /// What became of each of all shares, in the order in which the request names them.
    pub(crate) fn outcomes(mut self, made: ShareOutcomes) -> Vec<(Address, Result<ShareOutcome, ApiError>)> {
        let mut made = made.into_iter();
        let mut outcomes = Vec::with_capacity(self.asked.len());
        for recipient in self.asked {
            let outcome = match self.forbidden.remove(&recipient) {
                Some(refused) => Some(Err(refused)),
                None => made.next().map(|outcome| outcome.map_err(ApiError::from)),
            };
            outcomes.extend(outcome.map(|outcome| (recipient, outcome)));
        }
        outcomes
    }
}
