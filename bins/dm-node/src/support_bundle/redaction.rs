//! Takes secrets out of a text: those that this machine's settings hold, wherever they stand,
//! and whatever has the form of one.

use std::{borrow::Cow, fs, path::Path, sync::LazyLock};

use dm_core::config::NodeConfig;
use regex::Regex;

use super::written::{self, Written};

/// What stands for a secret.
const HIDDEN: &str = "(removed)";
/// Shorter texts are no secrets: taking them out would take out half of the words.
const SHORTEST: usize = 6;
/// Parts of the names of variables that hold secrets.
const SECRET_NAMES: [&str; 6] = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "PRIVATE_KEY", "API_KEY"];
/// Largest file of secrets that is read.
const MAX_FILE: u64 = 64 * 1024;

/// A form of secrets, and what stays of one.
struct Form(Regex, &'static str);

/// User, path and query of URLs, which may hold passwords and keys; API keys; secrets of webhooks;
/// tokens of accounts, and the codes that they are fetched with; values behind a name that says
/// what they are; and runs of 64 hexadecimal digits, which may be private keys, and else are
/// hashes of data.
static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    [
        (r#"\b([a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^\s/"'<>]*@)?([^\s/"'<>?#]+)[^\s"'<>]*"#, "$1$2"),
        (r"\bdm_[0-9A-Za-z]+_[0-9A-Za-z_-]+", HIDDEN),
        (r"\bwhsec_[0-9A-Za-z+/_-]+=*", HIDDEN),
        (r"\beyJ[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]*){2,4}", HIDDEN),
        // Shorter ones are codes of errors.
        (r#"\b(code|code_verifier)=[^\s&"'<>,;]{8,}"#, "$1=(removed)"),
        (
            r#"(?i)"([a-z0-9_-]*(?:password|passwd|secret|token|authorization|api[-_]key|private_key))"\s*:\s*"[^"]*""#,
            r#""$1": "(removed)""#,
        ),
        (
            r#"(?i)\b([a-z0-9_-]*(?:password|passwd|secret|token|authorization|api[-_]key|private_key))(\s*[:=]\s*)"?[^\s",;]+(?:\s+[^\s",;=]{16,})?"#,
            "$1$2(removed)",
        ),
        (r"\b(?:0x)?[0-9a-fA-F]{64}\b", HIDDEN),
    ]
    .into_iter()
    .filter_map(|(form, stays)| Some(Form(Regex::new(form).ok()?, stays)))
    .collect()
});

/// The secrets that are known.
pub(super) struct Redaction(Vec<String>);

impl Redaction {
    /// Knows the secrets of the settings, of the configuration file as it is written, of the
    /// environment, of the files that these name, and the API key of the command. Without
    /// `config` the settings cannot be used, and what is written is all that is known.
    pub(super) fn of(config: Option<&NodeConfig>, config_file: Option<&Path>, api_key: &str) -> Self {
        let mut secrets = vec![api_key.to_owned()];
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        secrets.extend(in_environment(&variables));
        secrets.extend(named_in_environment(&variables).flat_map(in_file));
        for found in config_file
            .into_iter()
            .flat_map(|file| written::find(&text_of(file)))
        {
            match found {
                Written::Secret(secret) => secrets.push(secret),
                Written::File(path) => secrets.extend(in_file(&path)),
            }
        }
        if let Some(config) = config {
            secrets.extend(in_settings(config));
            secrets.extend(files(config).into_iter().flat_map(in_file));
        }
        Self::knowing(secrets)
    }

    fn knowing(secrets: Vec<String>) -> Self {
        let mut secrets: Vec<String> = secrets
            .into_iter()
            .map(|secret| secret.trim().to_owned())
            .filter(|secret| secret.len() >= SHORTEST)
            .collect();
        // One that holds another one goes first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The text without them.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        for secret in &self.0 {
            // In a JSON document it may be escaped.
            let escaped = serde_json::Value::from(secret.as_str()).to_string();
            for form in [secret.as_str(), &escaped[1..escaped.len() - 1]] {
                if text.contains(form) {
                    text = Cow::Owned(text.replace(form, HIDDEN));
                }
            }
        }
        for Form(form, stays) in FORMS.iter() {
            text = Cow::Owned(form.replace_all(&text, *stays).into_owned());
        }
        text.into_owned()
    }
}

fn in_environment(variables: &[(String, String)]) -> impl Iterator<Item = String> {
    variables
        .iter()
        .filter(|(name, _)| is_secret(name) && !name.ends_with("_FILE"))
        .map(|(_, value)| value.clone())
}

fn named_in_environment(variables: &[(String, String)]) -> impl Iterator<Item = &Path> {
    variables
        .iter()
        .filter(|(name, _)| name.ends_with("_FILE") && (is_secret(name) || name.contains("CREDENTIALS")))
        .map(|(_, value)| Path::new(value))
}

fn is_secret(variable: &str) -> bool {
    let name = variable.to_uppercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

fn in_settings(config: &NodeConfig) -> Vec<String> {
    let s3 = &config.storage.s3;
    let secrets = [
        &config.private_key,
        &config.key_master_password,
        &config.catalog_url,
        &config.sign_in.client_secret,
        &s3.secret_access_key,
        &s3.session_token,
    ];
    let secrets = secrets.into_iter().flatten();
    secrets.map(|secret| secret.expose().to_owned()).collect()
}

fn files(config: &NodeConfig) -> Vec<&Path> {
    [
        &config.private_key_file,
        &config.key_master_password_file,
        &config.catalog.password_file,
        &config.sign_in.client_secret_file,
        &config.storage.s3.credentials_file,
        &config.network.swarm_key_file,
        &config.internal_api.tls.key_file,
        &config.external_api.tls.key_file,
        &config.dashboard_api.tls.key_file,
    ]
    .into_iter()
    .flatten()
    .map(|path| path.as_path())
    .collect()
}

/// Each line of a file of secrets, and what stands behind `=` in it.
fn in_file(path: &Path) -> Vec<String> {
    let text = text_of(path);
    let values = text
        .lines()
        .flat_map(|line| [Some(line), line.split_once('=').map(|(_, value)| value)]);
    values.flatten().map(str::to_owned).collect()
}

/// What a file holds; nothing if it is too large for a file of secrets.
fn text_of(path: &Path) -> String {
    let is_small = fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() <= MAX_FILE);
    let text = is_small.then(|| fs::read(path).ok()).flatten();
    String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_removed_wherever_it_stands() {
        let redaction = Redaction::knowing(vec!["a \"quoted\" secret".to_owned(), "short".to_owned()]);
        let text = "before a \"quoted\" secret and {\"x\": \"a \\\"quoted\\\" secret\"} after, short";
        assert_eq!(
            redaction.apply(text),
            "before (removed) and {\"x\": \"(removed)\"} after, short"
        );
    }

    #[test]
    fn what_has_the_form_of_a_secret_is_removed() {
        let redaction = Redaction::knowing(Vec::new());
        for (text, expected) in [
            (
                "at https://u:p@h.example:8443/v3/KEY?t=1#f, then",
                "at https://h.example:8443 then",
            ),
            ("postgres://node:pw@db/catalog", "postgres://db"),
            ("X-API-Key: dm_4f1c_abcDEF", "X-API-Key: (removed)"),
            ("key dm_4f1c_abcDEF-_x.", "key (removed)."),
            (
                "\"password\": \"pw pw\", \"a\": 1",
                "\"password\": \"(removed)\", \"a\": 1",
            ),
            (
                "Authorization: Bearer abcdefghijklmnopqrstuvwxyz",
                "Authorization: (removed)",
            ),
            ("secret=abc", "secret=(removed)"),
            ("secret: \"abc\"", "secret: (removed)\""),
            ("amqp://u:p@ss@h/x", "amqp://h"),
            (
                "signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=.",
                "signed with (removed).",
            ),
            ("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0. came", "(removed) came"),
            ("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln came", "(removed) came"),
            (
                "GET /sign_in/answer?code=SplxlOBeZQQYbYS6WxSbIA&state=1",
                "GET /sign_in/answer?code=(removed)&state=1",
            ),
            (
                "exit code=1, error_code=connection_refused",
                "exit code=1, error_code=connection_refused",
            ),
        ] {
            assert_eq!(redaction.apply(text), expected, "{text}");
        }
        let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        assert_eq!(
            redaction.apply(&format!("0x{key}; {key}")),
            "(removed); (removed)"
        );
        let plain = "2026-11-30 INFO dm_api: 12 shares, 3 MiB at 127.0.0.1:8081";
        assert_eq!(redaction.apply(plain), plain);
    }

    #[test]
    fn variables_with_secret_names_are_known() {
        let variables = [
            ("KEY_MASTER_PASSWORD", "one"),
            ("KEY_MASTER_PASSWORD_FILE", "/f"),
            ("HOME", "/h"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(in_environment(&variables).collect::<Vec<_>>(), ["one"]);
        assert_eq!(
            named_in_environment(&variables).collect::<Vec<_>>(),
            [Path::new("/f")]
        );
    }

    #[test]
    fn the_values_in_a_file_of_credentials_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        fs::write(&path, "[default]\naws_secret_access_key = abcdefgh\n").unwrap();
        let redaction = Redaction::knowing(in_file(&path));
        assert_eq!(redaction.apply("it is abcdefgh"), "it is (removed)");
    }
}
