//! What can be set about a catalog in PostgreSQL.

use std::path::PathBuf;

use serde::Deserialize;

/// How the database of `catalog_url` is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// File with the password of the database's user.
    pub password_file: Option<PathBuf>,
    /// Connections that read, 1 to 1000; one more writes.
    pub readers: u32,
    /// Whether a pooler such as pgbouncer stands between that may give each transaction
    /// another connection of the server.
    pub through_pooler: bool,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            password_file: None,
            readers: 8,
            through_pooler: false,
        }
    }
}
