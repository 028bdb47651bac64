//! What can be set about the inbox.

use std::str::FromStr;

use serde::Deserialize;

use crate::{
    contact::Party,
    descriptor::{InvalidDescription, LabelPairs, Labels},
};

/// Whose shares are listed in the inbox. Contacts always are, and who is blocked never is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// Those of contacts.
    Contacts,
    /// Also those of strangers, once they are anchored: each has then cost its sender gas.
    #[default]
    Anchored,
    /// All.
    Anyone,
}

/// When owners are told that their data was read and checked here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledge {
    /// When it is fetched.
    #[default]
    OnFetch,
    /// When a client asks for it.
    OnRequest,
    /// Never.
    Never,
}

/// What the inbox lets in, and what becomes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboxConfig {
    /// Whose shares are listed.
    pub accept: Accept,
    /// When what was fetched is acknowledged.
    pub acknowledge: Acknowledge,
    /// What of it is fetched at once.
    pub fetch: FetchConfig,
}

/// What is fetched as soon as the inbox lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FetchConfig {
    /// Whose data: `contacts`, `anyone`, and addresses or names of contacts. Where none is
    /// named, nothing is fetched.
    pub from: Vec<String>,
    /// Bytes of the largest data.
    pub max_bytes: u64,
    /// Labels such as `kind=report`, of which the data must have one; where none is
    /// named, it need not.
    pub labels: Vec<String>,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            from: Vec::new(),
            max_bytes: 10 << 20,
            labels: Vec::new(),
        }
    }
}

/// Somebody whose data is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchFrom {
    /// Every contact with the trust `accept`.
    Contacts,
    /// Everybody whom the inbox lists.
    Anyone,
    /// One account.
    Party(Party),
}

/// A text names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `contacts`, `anyone`, addresses, or names of contacts")]
pub struct InvalidFetchFrom;

impl FromStr for FetchFrom {
    type Err = InvalidFetchFrom;

    fn from_str(text: &str) -> Result<Self, InvalidFetchFrom> {
        match text {
            "contacts" => Ok(Self::Contacts),
            "anyone" => Ok(Self::Anyone),
            text => text.parse().map(Self::Party).map_err(|_| InvalidFetchFrom),
        }
    }
}

impl FetchConfig {
    /// Whose data is fetched.
    ///
    /// # Errors
    /// Where a text names nobody.
    pub fn senders(&self) -> Result<Vec<FetchFrom>, InvalidFetchFrom> {
        self.from.iter().map(|text| text.parse()).collect()
    }

    /// The labels of which the data must have one, if any are named.
    ///
    /// # Errors
    /// What is no label.
    pub fn labels(&self) -> Result<Vec<(String, String)>, InvalidDescription> {
        let pairs = self.labels.iter();
        let pairs = pairs.map(|text| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), value.to_owned())
        });
        let pairs: Vec<(String, String)> = pairs.collect();
        for pair in &pairs {
            Labels::try_from(LabelPairs::from_iter([pair.clone()]))?;
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    fn config(from: &[&str], labels: &[&str]) -> FetchConfig {
        FetchConfig {
            from: from.iter().map(ToString::to_string).collect(),
            labels: labels.iter().map(ToString::to_string).collect(),
            ..FetchConfig::default()
        }
    }

    #[test]
    fn senders_are_groups_addresses_and_names() {
        let address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        let senders = config(&["contacts", "anyone", "acme", address], &[])
            .senders()
            .unwrap();
        assert_eq!(senders[..2], [FetchFrom::Contacts, FetchFrom::Anyone]);
        assert_eq!(senders[2], FetchFrom::Party("acme".parse().unwrap()));
        assert_eq!(senders[3], FetchFrom::Party(address.parse().unwrap()));
        for nobody in ["", "not a name", "0x12"] {
            assert_eq!(
                config(&[nobody], &[]).senders(),
                Err(InvalidFetchFrom),
                "{nobody}"
            );
        }
    }

    #[test]
    fn labels_are_keys_with_values() {
        let labels = config(&[], &["kind=report", "kind=a=b", "flag"])
            .labels()
            .unwrap();
        let expected = [("kind", "report"), ("kind", "a=b"), ("flag", "")];
        assert_eq!(
            labels,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        for wrong in ["", "=x", "a key=x"] {
            assert!(config(&[], &[wrong]).labels().is_err(), "{wrong}");
        }
    }
}
