//! The journal of events: what happened, durable and numbered, for programs that must
//! not miss anything.

use std::{fmt, str::FromStr};

use serde_json::Value;

use crate::{hash::DataHash, news::DURABLE_TOPICS, span::TraceContext};

/// Topics in one filter.
pub const MAX_TOPICS: usize = 64;

/// One event of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEvent {
    /// Its number, from 1; without gaps, in the order in which events were committed.
    pub position: u64,
    /// When it happened, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What happened, such as `data.shared`.
    pub topic: String,
    /// The data that it is about, where it is about data.
    pub subject: Option<DataHash>,
    /// What belongs to it; see [`News`](crate::news::News).
    pub data: Value,
    /// The trace of the request that it comes of, where that is recorded.
    pub trace: Option<TraceContext>,
}

/// Tells the journal of one catalog from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JournalId(pub [u8; 8]);

/// A place in a journal: the event with this position and all before it have been read.
/// As text: 16 hexadecimal digits, a hyphen, and a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Which journal.
    pub journal: JournalId,
    /// Position of the last event that was read; 0 before the first.
    pub position: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", hex::encode(self.journal.0), self.position)
    }
}

/// The text is no place in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no cursor that this interface has given")]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (journal, position) = text.split_once('-').ok_or(InvalidCursor)?;
        let mut id = [0; 8];
        hex::decode_to_slice(journal, &mut id).map_err(|_| InvalidCursor)?;
        let position = position.parse().map_err(|_| InvalidCursor)?;
        let cursor = Self {
            journal: JournalId(id),
            position,
        };
        // One spelling for each place.
        (cursor.to_string() == text)
            .then_some(cursor)
            .ok_or(InvalidCursor)
    }
}

/// Which topics are wanted: names such as `data.shared`, or groups such as `data.*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topics(Vec<String>);

/// A text names no topic of the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopics {
    /// There is no such topic or group.
    #[error("names {0:?}, which is neither a topic of the journal nor a group of them such as \"data.*\"")]
    Unknown(String),
    /// More than [`MAX_TOPICS`].
    #[error("has more than 64 topics")]
    TooMany,
}

impl Topics {
    /// All topics.
    pub fn all() -> Self {
        Self::default()
    }

    /// These topics and groups; none of them stands for all.
    ///
    /// # Errors
    /// What is neither a topic nor a group.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidTopics> {
        let mut topics = Vec::new();
        for name in names {
            if topics.len() == MAX_TOPICS {
                return Err(InvalidTopics::TooMany);
            }
            if !DURABLE_TOPICS.iter().any(|topic| is_of(topic, name)) {
                return Err(InvalidTopics::Unknown(name.chars().take(100).collect()));
            }
            topics.push(name.to_owned());
        }
        Ok(Self(topics))
    }

    /// Whether events of this topic are wanted.
    pub fn contain(&self, topic: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|name| is_of(topic, name))
    }

    /// The names and groups; none of them stands for all.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

fn is_of(topic: &str, name: &str) -> bool {
    let in_group = name
        .strip_suffix('*')
        .filter(|group| group.ends_with('.'))
        .is_some_and(|group| topic.starts_with(group));
    in_group || topic == name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    const CURSOR: Cursor = Cursor {
        journal: JournalId([1, 2, 3, 4, 5, 6, 7, 0xff]),
        position: 42,
    };

    #[test]
    fn a_cursor_has_one_spelling() {
        let text = CURSOR.to_string();
        assert_eq!(text, "01020304050607ff-42");
        assert_eq!(text.parse(), Ok(CURSOR));
        for other in [
            "",
            "42",
            "01020304050607FF-42",
            "01020304050607ff-042",
            "01020304050607ff-+42",
            "01020304050607ff--1",
            "01020304050607ff-18446744073709551616",
            "01020304050607-42",
            "01020304050607ff-42-1",
        ] {
            assert_eq!(other.parse::<Cursor>(), Err(InvalidCursor), "{other}");
        }
    }

    #[test]
    fn topics_are_names_or_groups() {
        let topics = Topics::new(["data.*", "token.added"]).unwrap();
        assert!(topics.contain("data.shared") && topics.contain("token.added"));
        assert!(!topics.contain("token.transfer_failed") && !topics.contain("database.x"));
        assert!(Topics::all().contain("anything"));
        for unknown in [
            "",
            "*",
            "data",
            "data*",
            "d*",
            "data.nothing",
            "nothing.*",
            "DATA.shared",
        ] {
            assert_eq!(
                Topics::new([unknown]),
                Err(InvalidTopics::Unknown(unknown.to_owned())),
            );
        }
        assert_eq!(Topics::new(["data.*"; 65]), Err(InvalidTopics::TooMany));
    }
}
