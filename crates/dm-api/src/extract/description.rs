//! What is said of data that is shared, in the fields of a body or in headers.

use std::str::FromStr;

use actix_web::http::header::{self, HeaderMap, HeaderName};
use dm_core::{
    descriptor::{Description, InvalidDescription, LabelPairs, Labels, MediaType},
    hash::DataHash,
};

use super::tus::Metadata;
use super::{
    fields::{self, Field},
    headers::header_text,
};
use crate::{disposition::attached_name, error::ApiError};

const LABELS: HeaderName = HeaderName::from_static("x-labels");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const SUPERSEDES: HeaderName = HeaderName::from_static("x-supersedes");

/// Media types that say nothing of the data: any bytes, and what curl sends by itself.
const UNSAID: [&str; 2] = ["application/octet-stream", "application/x-www-form-urlencoded"];

const LABELS_FORM: &str = "must be an object whose values are strings";

/// The fields of a body that describe the data.
pub(crate) struct DescriptionFields<'a> {
    pub(crate) name: Field<'a>,
    pub(crate) media_type: Field<'a>,
    pub(crate) labels: Field<'a>,
    pub(crate) correlation_id: Field<'a>,
    pub(crate) supersedes: Field<'a>,
}

impl DescriptionFields<'_> {
    /// What they say, if anything.
    pub(crate) fn description(&self) -> Result<Option<Box<Description>>, ApiError> {
        let labels: Option<LabelPairs> = fields::value("labels", self.labels, LABELS_FORM)?;
        said(Description {
            name: parsed("name", fields::text("name", self.name)?)?,
            media_type: parsed("media_type", fields::text("media_type", self.media_type)?)?,
            labels: checked("labels", labels)?,
            correlation_id: parsed(
                "correlation_id",
                fields::text("correlation_id", self.correlation_id)?,
            )?,
            supersedes: hash("supersedes", fields::text("supersedes", self.supersedes)?)?,
        })
    }
}

/// What the headers of an upload say, if anything.
pub(crate) fn described_in_headers(headers: &HeaderMap) -> Result<Option<Box<Description>>, ApiError> {
    let labels = header_text(headers, &LABELS, "X-Labels")?
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|_| ApiError::invalid("X-Labels", LABELS_FORM))?;
    let correlation_id = header_text(headers, &CORRELATION_ID, "X-Correlation-Id")?;
    let supersedes = header_text(headers, &SUPERSEDES, "X-Supersedes")?;
    // Only for its check that it is given once.
    header_text(headers, &header::CONTENT_DISPOSITION, "Content-Disposition")?;
    let name = headers
        .get(header::CONTENT_DISPOSITION)
        .map(|value| attached_name(value.as_bytes()))
        .transpose()
        .map_err(|reason| ApiError::invalid("Content-Disposition", reason))?;
    said(Description {
        name: name.flatten(),
        media_type: media_type(headers)?,
        labels: checked("X-Labels", labels)?,
        correlation_id: parsed("X-Correlation-Id", correlation_id)?,
        supersedes: hash("X-Supersedes", supersedes)?,
    })
}

/// What the metadata of a resumable upload says, if anything.
pub(crate) fn described_in_metadata(metadata: &Metadata) -> Result<Option<Box<Description>>, ApiError> {
    let labels = metadata
        .get("labels")
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|_| ApiError::invalid("labels", LABELS_FORM))?;
    said(Description {
        name: parsed("name", metadata.get("name"))?,
        media_type: parsed("media_type", metadata.get("media_type"))?,
        labels: checked("labels", labels)?,
        correlation_id: parsed("correlation_id", metadata.get("correlation_id"))?,
        supersedes: hash("supersedes", metadata.get("supersedes"))?,
    })
}

fn media_type(headers: &HeaderMap) -> Result<Option<MediaType>, ApiError> {
    let text = header_text(headers, &header::CONTENT_TYPE, "Content-Type")?;
    let is_said = |text: &String| !UNSAID.iter().any(|unsaid| text.eq_ignore_ascii_case(unsaid));
    parsed("Content-Type", text.filter(is_said))
}

fn said(description: Description) -> Result<Option<Box<Description>>, ApiError> {
    description
        .ensure_fits()
        .map_err(|error| ApiError::invalid(error.field, error.reason))?;
    Ok(Some(description)
        .filter(|description| !description.is_empty())
        .map(Box::new))
}

fn parsed<T: FromStr<Err = InvalidDescription>>(
    field: &'static str,
    text: Option<String>,
) -> Result<Option<T>, ApiError> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error: InvalidDescription| ApiError::invalid(field, error.reason))
}

fn checked(field: &'static str, pairs: Option<LabelPairs>) -> Result<Labels, ApiError> {
    Labels::try_from(pairs.unwrap_or_default()).map_err(|error| ApiError::invalid(field, error.reason))
}

fn hash(field: &'static str, text: Option<String>) -> Result<Option<DataHash>, ApiError> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|reason| ApiError::invalid(field, reason))
}
