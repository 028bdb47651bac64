//! Whether the catalog is where the settings say. It is not opened: that would bring it to this
//! version's form.

use std::{fs::File, io::Read, path::Path};

use dm_core::config::NodeConfig;
use reqwest::Url;

use super::{Finding, reach};

const CHECK: &str = "database";
/// How a file of SQLite begins.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";
/// Where PostgreSQL listens if its address does not say.
const POSTGRES_PORT: u16 = 5432;

pub(super) async fn examine(config: &NodeConfig) -> Vec<Finding> {
    vec![match &config.catalog_url {
        None => file(&config.catalog_file()),
        Some(url) => server(url.expose()).await,
    }]
}

fn file(path: &Path) -> Finding {
    let place = path.display();
    let mut begin = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    match read {
        Ok(()) if begin == *SQLITE => Finding::good(CHECK, format!("{place} is a database of SQLite")),
        Ok(()) => Finding::fault(
            CHECK,
            format!("{place} is no database of SQLite"),
            "restore a backup (`dm-node backup restore`), or set sqlite_db_path",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding::warning(
            CHECK,
            format!("{place} is not there yet"),
            "a new node makes it; if this is no new node, set data_dir or sqlite_db_path",
        ),
        Err(error) => Finding::fault(
            CHECK,
            format!("{place} cannot be read: {error}"),
            "run the node as the user that owns the file",
        ),
    }
}

async fn server(url: &str) -> Finding {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str);
    let Some((url, host)) = parsed.as_ref().zip(host) else {
        let found = "catalog_url leads to a socket of this machine, which was not tried";
        return Finding::good(CHECK, found);
    };
    let port = url.port().unwrap_or(POSTGRES_PORT);
    match reach::connect(host, port).await {
        Ok(()) => {
            let found =
                format!("{host}:{port} accepts connections; the password is tried when the node starts");
            Finding::good(CHECK, found)
        }
        Err(why) => Finding::fault(
            CHECK,
            format!("{host}:{port} does not answer: {why}"),
            "start PostgreSQL, and check catalog_url and the firewall",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Severity, *};

    #[test]
    fn a_catalog_that_is_missing_or_something_else_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.sqlite");
        assert_eq!(file(&path).severity, Severity::Warning);
        std::fs::write(&path, "something else, and long enough").unwrap();
        assert_eq!(file(&path).severity, Severity::Fault);
        std::fs::write(&path, "SQLite format 3\0 and so on").unwrap();
        assert_eq!(file(&path).severity, Severity::Good);
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_named_without_its_password() {
        let found = server("postgres://node:SECRET@127.0.0.1:1/catalog").await;
        assert_eq!(found.severity, Severity::Fault);
        assert!(
            found.found.starts_with("127.0.0.1:1 does not answer"),
            "{found:?}"
        );
        assert!(!format!("{found:?}").contains("SECRET"), "{found:?}");
    }
}
