//! What is asked of a page of a list: of the inbox, or of the shares.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use dm_core::descriptor::{LabelPairs, Labels};

use super::{page_cursor, page_limit, query};
use crate::error::ApiError;

/// What the name of a parameter that asks for a label begins with.
const LABEL: &str = "label.";

/// The parameters that both lists have, and the others.
pub(crate) struct ListingParams {
    pub(crate) name: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<u64>,
    others: BTreeMap<String, String>,
}

impl ListingParams {
    /// Reads the query string; parameters that nobody asks for are skipped.
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let parameters: Vec<(String, String)> = query(request)?;
        let (mut others, mut labels) = (BTreeMap::new(), Vec::new());
        for (name, text) in parameters {
            match name.strip_prefix(LABEL) {
                Some(key) => labels.push((key.to_owned(), text)),
                None => {
                    others.insert(name, text);
                }
            }
        }
        let labels = Labels::try_from(labels.into_iter().collect::<LabelPairs>());
        let labels = labels.map_err(|error| ApiError::invalid(error.field, error.reason))?;
        let pairs = labels
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(Self {
            name: others.remove("name"),
            labels: pairs.collect(),
            limit: page_limit(others.get("limit").map(String::as_str))?,
            cursor: page_cursor(others.get("cursor").map(String::as_str))?,
            others,
        })
    }

    /// Another parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.others.get(name).map(String::as_str)
    }
}
