//! The tokens that the node supports besides the chain's own coin.

use async_trait::async_trait;
use dm_core::{
    Address,
    order::TokenRecord,
    ports::{CatalogError, TokenCatalog},
    token::{TokenInfo, TokenKind},
};

use super::{
    SqliteCatalog,
    change::{Outcome, SingleChange},
    columns::{Columns, storable},
    error::{corrupt, from_sqlx},
    pages::Source,
    sql::{self, Connection, Row},
};

const NATIVE: &str = "native";
const ERC20: &str = "erc20";

const TOKENS: Source = Source::new("tokens", "ordinal");

pub(super) const ADD: &str = "INSERT INTO tokens
    (address, kind, symbol, name, decimals, issued, added_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (address) DO NOTHING";
const UPDATE: &str = "UPDATE tokens SET symbol = ?, name = ?, decimals = ? WHERE address = ?";
pub(super) const GET: &str = "SELECT * FROM tokens WHERE address = ?";
const LIST: &str = "SELECT * FROM tokens ORDER BY ordinal";

/// Keeps a token unless there is one at its address.
pub(super) async fn add(
    connection: &mut Connection<'_>,
    token: &TokenRecord,
) -> Result<Outcome, CatalogError> {
    let kind = match token.info.kind {
        TokenKind::Native => NATIVE,
        TokenKind::Erc20 => ERC20,
    };
    let query = sql::query(ADD)
        .bind(token.info.address.to_vec())
        .bind(kind)
        .bind(token.info.symbol.clone())
        .bind(token.info.name.clone())
        .bind(token.info.decimals)
        .bind(token.issued)
        .bind(storable(token.added_at)?);
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done == 0))
}

/// Keeps what a token says of itself now.
pub(super) async fn update(
    connection: &mut Connection<'_>,
    facts: &TokenInfo,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(UPDATE)
        .bind(facts.symbol.clone())
        .bind(facts.name.clone())
        .bind(facts.decimals)
        .bind(facts.address.to_vec());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

fn read(row: &Row) -> Result<TokenRecord, CatalogError> {
    let kind = match row.value("kind")? {
        NATIVE => TokenKind::Native,
        ERC20 => TokenKind::Erc20,
        _ => return Err(corrupt("a token has no known kind")),
    };
    Ok(TokenRecord {
        info: TokenInfo {
            address: row.address("address")?,
            kind,
            symbol: row.value("symbol")?,
            name: row.value("name")?,
            decimals: u8::try_from(row.small_number("decimals")?)
                .map_err(|_| corrupt("a token's decimals are out of range"))?,
        },
        issued: row.value("issued")?,
        added_at: row.number("added_at")?,
    })
}

#[async_trait]
impl TokenCatalog for SqliteCatalog {
    async fn add_token(&self, token: &TokenRecord) -> Result<bool, CatalogError> {
        let existed = self.make_if_there(SingleChange::AddToken(token.clone())).await?;
        Ok(!existed)
    }

    async fn update_token(&self, facts: &TokenInfo) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::UpdateToken(facts.clone())).await
    }

    async fn token(&self, address: Address) -> Result<Option<TokenRecord>, CatalogError> {
        let query = sql::query(GET).bind(address.to_vec());
        let row = query.fetch_optional(&self.reads).await.map_err(from_sqlx)?;
        row.as_ref().map(read).transpose()
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, CatalogError> {
        self.all(TOKENS, sql::query(LIST), read).await
    }
}
