//! What the owner of data says of it, in answers.

use std::collections::BTreeMap;

use dm_core::{descriptor::Description, hash::DataHash};
use serde::Serialize;

/// What the readers of the data are told.
#[derive(Serialize, Default)]
pub(super) struct SaidOfData {
    name: Option<String>,
    media_type: Option<String>,
    labels: BTreeMap<String, String>,
    correlation_id: Option<String>,
    supersedes: Option<DataHash>,
}

impl From<Description> for SaidOfData {
    fn from(said: Description) -> Self {
        let labels = said.labels.iter();
        Self {
            name: said.name.map(|name| name.to_string()),
            media_type: said.media_type.map(|media_type| media_type.to_string()),
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            correlation_id: said.correlation_id.map(|id| id.to_string()),
            supersedes: said.supersedes,
        }
    }
}
