//! Where the database is, and how it is reached.

use std::{fmt, net::IpAddr, path::Path, str::FromStr, time::Duration};

use dm_core::{Address, ports::CatalogError};
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use super::super::{
    error::failed,
    sql::{PostgresPool, Statements},
};

/// Connections that read, where nothing else is said.
const READERS: u32 = 8;
/// How long a reader that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How long a caller waits for a connection that reads.
const ACQUIRE_PATIENCE: Duration = Duration::from_secs(10);

/// A PostgreSQL database for a catalog.
#[derive(Clone)]
pub struct PostgresOptions {
    server: Server,
    readers: u32,
    account: Option<Address>,
}

/// The server, and how statements reach it.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) connect: PgConnectOptions,
    pub(super) statements: Statements,
}

impl PostgresOptions {
    /// The database at `postgres://user@host:port/database`, with the parameters of libpq
    /// for TLS: `sslmode`, `sslrootcert`, `sslcert` and `sslkey`. Where `sslmode` is not
    /// given, a server on another machine must prove its name.
    ///
    /// # Errors
    /// [`CatalogError::Failed`] where the text is no such address; it does not repeat it,
    /// since it may hold a password.
    pub fn at(url: &str) -> Result<Self, CatalogError> {
        let mut connect = PgConnectOptions::from_str(url)
            .map_err(|_| failed("the catalog's address is not postgres://user@host:port/database"))?
            .extra_float_digits(None)
            .disable_statement_logging();
        let is_local = connect.get_socket().is_some() || is_this_machine(connect.get_host());
        if !is_local && !url.contains("sslmode=") && !url.contains("ssl-mode=") {
            connect = connect.ssl_mode(PgSslMode::VerifyFull);
        }
        Ok(Self {
            server: Server {
                connect,
                statements: Statements::Kept,
            },
            readers: READERS,
            account: None,
        })
    }

    /// With the password in a file, whose last line break does not belong to it.
    ///
    /// # Errors
    /// [`CatalogError::Failed`] where the file cannot be read.
    pub async fn password_file(mut self, file: &Path) -> Result<Self, CatalogError> {
        let password = tokio::fs::read_to_string(file).await;
        let password = password.map_err(|error| {
            CatalogError::Failed(format!("cannot read {}: {error}", file.display()).into())
        })?;
        self.server.connect = self
            .server
            .connect
            .password(password.trim_end_matches(['\r', '\n']));
        Ok(self)
    }

    /// With so many connections that read.
    #[must_use]
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Through a pooler that may give each transaction another connection of the server,
    /// as pgbouncer does with `pool_mode = transaction`. No statement stays prepared then.
    #[must_use]
    pub fn through_pooler(mut self) -> Self {
        self.server.statements = Statements::OfTransaction;
        self
    }

    /// For the node of this account: a database of another account is refused.
    #[must_use]
    pub fn for_account(mut self, account: Address) -> Self {
        self.account = Some(account);
        self
    }

    /// Where the database is, without a user and a password.
    #[must_use]
    pub fn place(&self) -> String {
        let connect = &self.server.connect;
        let host = match connect.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", connect.get_host(), connect.get_port()),
        };
        let database = connect.get_database().unwrap_or(connect.get_username());
        format!("postgres://{host}/{database}")
    }

    pub(super) fn account(&self) -> Option<Address> {
        self.account
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// How statements reach the server.
    pub(in super::super) fn statements(&self) -> Statements {
        self.server.statements
    }

    /// The connections that read, opened when they are needed.
    pub(crate) fn pool(&self) -> PostgresPool {
        let pool = PgPoolOptions::new()
            .max_connections(self.readers)
            .min_connections(0)
            .idle_timeout(IDLE)
            .acquire_timeout(ACQUIRE_PATIENCE)
            .test_before_acquire(false)
            .connect_lazy_with(self.server.connect.clone());
        PostgresPool {
            pool,
            statements: self.server.statements,
        }
    }
}

/// Without the password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("host", &self.server.connect.get_host())
            .field("port", &self.server.connect.get_port())
            .field("database", &self.server.connect.get_database())
            .field("statements", &self.server.statements)
            .field("readers", &self.readers)
            .finish()
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> PgSslMode {
        PostgresOptions::at(url).unwrap().server.connect.get_ssl_mode()
    }

    #[test]
    fn a_server_elsewhere_must_prove_its_name() {
        assert!(matches!(
            mode("postgres://node@db.example/catalog"),
            PgSslMode::VerifyFull
        ));
        assert!(matches!(
            mode("postgres://node@db.example/catalog?sslmode=require"),
            PgSslMode::Require
        ));
        assert!(matches!(
            mode("postgres://node@127.0.0.1/catalog"),
            PgSslMode::Prefer
        ));
        assert!(matches!(
            mode("postgres://node@localhost/catalog"),
            PgSslMode::Prefer
        ));
    }

    #[test]
    fn the_password_is_not_shown() {
        let options = PostgresOptions::at("postgres://node:hidden@127.0.0.1/catalog").unwrap();
        assert!(!format!("{options:?}").contains("hidden"));
        assert_eq!(options.place(), "postgres://127.0.0.1:5432/catalog");
        let error = PostgresOptions::at("postgres//node:hidden@127.0.0.1").unwrap_err();
        assert!(!error.to_string().contains("hidden"));
    }

    #[tokio::test]
    async fn a_password_file_that_is_not_there_is_named() {
        let options = PostgresOptions::at("postgres://node@127.0.0.1/catalog").unwrap();
        let error = options
            .password_file(Path::new("/nowhere/password"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("/nowhere/password"));
    }
}
