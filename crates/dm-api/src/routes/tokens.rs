//! Tokens and balances.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{
    api_key::Scope,
    token::{NATIVE_TOKEN, TokenInfo, TokenKind},
};
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Access, Endpoint, Router},
    error::ApiError,
    extract::{address_param, query},
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/tokens").on(Method::GET, Access::Needs(Scope::Read), tokens));
    router.add(Endpoint::at("/balance/{address}").on(Method::GET, Access::Needs(Scope::Read), balance));
}

#[derive(Serialize)]
struct TokensAnswer {
    tokens: Vec<TokenLine>,
}

/// A token with its address in EIP-55 form, as everywhere in the interface.
#[derive(Serialize)]
struct TokenLine {
    address: String,
    #[serde(rename = "type")]
    kind: TokenKind,
    symbol: String,
    name: String,
    decimals: u8,
}

impl From<TokenInfo> for TokenLine {
    fn from(token: TokenInfo) -> Self {
        Self {
            address: token.address.to_string(),
            kind: token.kind,
            symbol: token.symbol,
            name: token.name,
            decimals: token.decimals,
        }
    }
}

async fn tokens(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let tokens = state.run(state.services.tokens.tokens()).await?;
    Ok(HttpResponse::Ok().json(TokensAnswer {
        tokens: tokens.into_iter().map(TokenLine::from).collect(),
    }))
}

#[derive(Deserialize)]
struct BalanceQuery {
    token: Option<String>,
}

#[derive(Serialize)]
struct BalanceAnswer {
    address: String,
    balance: String,
    token: String,
}

async fn balance(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let account = address_param("address", request.match_info().query("address"))?;
    let BalanceQuery { token } = query(&request)?;
    let token = token.map_or(Ok(NATIVE_TOKEN), |text| address_param("token", &text))?;
    let balance = state.run(state.services.tokens.balance(account, token)).await?;
    Ok(HttpResponse::Ok().json(BalanceAnswer {
        address: account.to_string(),
        balance: balance.to_string(),
        token: token.to_string(),
    }))
}
