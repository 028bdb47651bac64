//! The secrets in a configuration file as it is written, whether or not it can be read as one.

use std::{path::PathBuf, sync::LazyLock};

use regex::{Captures, Regex};

use crate::settings;

/// A setting whose name says that it is a secret or names a file of one, and its value: up to the
/// quotation mark that ends it, or the end of the line. What is missing between them makes the
/// file none of TOML, and the value no less secret.
static SETTING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let form = concat!(
        r"(?i)([a-z0-9_-]*(?:password|passwd|secret|token|private_key|access_key|api_key|key_file|credentials)[a-z0-9_-]*)",
        r#"["']?(?:\s*[=:]\s*|\s+)\[?\s*"#,
        r#"(?:"+((?:[^"\\]|\\.)*)|'+([^']*)|([^\s"',}\]#]+))"#,
    );
    Regex::new(form).ok()
});

/// What a configuration file tells of a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Itself.
    Secret(String),
    /// The file that holds it.
    File(PathBuf),
}

/// What stands in the text of a configuration file.
pub(super) fn find(text: &str) -> Vec<Written> {
    let Some(form) = &*SETTING else {
        return Vec::new();
    };
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| form.captures_iter(line))
        .flat_map(|setting| told_by(&setting))
        .collect()
}

fn told_by(setting: &Captures<'_>) -> Vec<Written> {
    let part = |number| setting.get(number).map_or("", |part| part.as_str());
    let (name, quoted) = (part(1).to_lowercase(), part(2));
    // As in TOML, so in JSON, as far as both have the same escapes.
    let meant = serde_json::from_str::<String>(&format!("\"{quoted}\"")).ok();
    let meant = meant.filter(|meant| meant != quoted);
    let values = [quoted, part(3), part(4)].map(str::to_owned);
    let values = values.into_iter().chain(meant).filter(|value| !value.is_empty());
    if name.ends_with("_file") {
        let paths = values.filter_map(|value| settings::expanded(value.as_ref()).ok());
        return paths.map(Written::File).collect();
    }
    values.map(Written::Secret).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_a_file_that_is_no_configuration() {
        let text = r#"
            p2p_port = [[[
            key_master_password = "with \"quotes\""  # not "this"
            private_key='literal'
            node_id = "reports"
            sign_in = { client_secret = "inline", issuer = "https://id.example" }
            storage.s3.session_token = "without its end
            secret_access_key: bare
            token "after nothing"
            secret = ["listed"]
            # The password = chosen by you
            [catalog]
            password_file = "/run/secrets/catalog"
        "#;
        let secret = |text: &str| Written::Secret(text.to_owned());
        assert_eq!(
            find(text),
            [
                secret(r#"with \"quotes\""#),
                secret(r#"with "quotes""#),
                secret("literal"),
                secret("inline"),
                secret("without its end"),
                secret("bare"),
                secret("after nothing"),
                secret("listed"),
                Written::File("/run/secrets/catalog".into()),
            ]
        );
    }
}
