//! Keeps what is secret in a URL out of texts that come from its other end.

use reqwest::Url;

/// Shortest part of a path or query that may be a key, in characters: those of
/// providers have at least 20, and `mainnet` or `v3` say nothing.
const SHORTEST_KEY: usize = 8;
/// What stands in its place.
const HIDDEN: &str = "[hidden]";

/// The parts of a URL that nobody may read.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those of this URL: user name, password, and what may be a key in the path
    /// or the query.
    pub(super) fn of(url: &Url) -> Self {
        let user = [Some(url.username()), url.password()];
        let user = user.into_iter().flatten().filter(|part| !part.is_empty());
        let path = url.path_segments().into_iter().flatten();
        let query = url.query_pairs().map(|(_, value)| value.into_owned());
        let raw_query = url.query().into_iter().flat_map(|query| query.split(['&', '=']));
        let keys = path
            .chain(raw_query)
            .map(str::to_owned)
            .chain(query)
            .filter(|part| part.chars().count() >= SHORTEST_KEY);
        let mut secrets: Vec<String> = user.map(str::to_owned).chain(keys).collect();
        // The longest first: one may be the beginning of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The text without them.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_stays_in_a_text() {
        let url =
            Url::parse("https://bob:pa55@rpc.example.org/v3/0123456789abcdef?apikey=fedcba9876543210&x=1")
                .unwrap();
        let text = "bob, pa55, key 0123456789abcdef or fedcba9876543210 is invalid at /v3 of rpc.example.org";
        assert_eq!(
            Secrets::of(&url).hidden_in(text),
            "[hidden], [hidden], key [hidden] or [hidden] is invalid at /v3 of rpc.example.org"
        );
    }

    #[test]
    fn a_url_without_secrets_hides_nothing() {
        let url = Url::parse("http://127.0.0.1:8545/").unwrap();
        assert_eq!(
            Secrets::of(&url).hidden_in("all of 127.0.0.1"),
            "all of 127.0.0.1"
        );
    }
}
