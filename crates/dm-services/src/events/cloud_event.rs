//! Events in the form that programs read.

use alloy_primitives::Address;
use dm_core::{
    hash::DataHash,
    journal::{Cursor, JournalEvent, JournalId},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Events;

/// An event as
/// [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md)
/// in JSON. It keeps its id, however often it is delivered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CloudEvent {
    specversion: &'static str,
    /// The place of the event in the journal, which is also a cursor.
    #[serde(serialize_with = "as_text")]
    pub id: Cursor,
    source: String,
    /// `datamgmt.` and the topic.
    #[serde(rename = "type")]
    pub kind: String,
    /// The data that the event is about, where it is about data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<DataHash>,
    time: String,
    /// The same in milliseconds since the Unix epoch.
    #[serde(skip)]
    pub at: u64,
    datacontenttype: &'static str,
    /// What belongs to the event.
    pub data: Value,
}

fn as_text<S: serde::Serializer>(cursor: &Cursor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cursor)
}

impl CloudEvent {
    /// An event of the journal of the node with this account.
    pub fn new(journal: JournalId, event: JournalEvent, node: Address) -> Self {
        let milliseconds = i64::try_from(event.at).unwrap_or(i64::MAX);
        Self {
            specversion: "1.0",
            id: Cursor {
                journal,
                position: event.position,
            },
            source: format!("urn:datamgmt:{node}"),
            kind: format!("datamgmt.{}", event.topic),
            subject: event.subject,
            time: Timestamp::from_millisecond(milliseconds)
                .unwrap_or(Timestamp::MAX)
                .to_string(),
            at: event.at,
            datacontenttype: "application/json",
            data: event.data,
        }
    }
}

impl Events {
    pub(super) fn cloud_event(&self, journal: JournalId, event: JournalEvent) -> CloudEvent {
        CloudEvent::new(journal, event, self.node)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_written_as_the_standard_says() {
        let data_hash = DataHash::of(b"data");
        let event = JournalEvent {
            position: 42,
            at: 1_700_000_000_123,
            topic: "data.erased".into(),
            subject: Some(data_hash),
            data: json!({"data_hash": data_hash}),
            trace: None,
        };
        let journal = JournalId([1, 2, 3, 4, 5, 6, 7, 0xff]);
        let written = serde_json::to_value(CloudEvent::new(journal, event, Address::ZERO)).unwrap();
        assert_eq!(
            written,
            json!({
                "specversion": "1.0",
                "id": "01020304050607ff-42",
                "source": "urn:datamgmt:0x0000000000000000000000000000000000000000",
                "type": "datamgmt.data.erased",
                "subject": data_hash,
                "time": "2023-11-14T22:13:20.123Z",
                "datacontenttype": "application/json",
                "data": {"data_hash": data_hash},
            })
        );
    }
}
