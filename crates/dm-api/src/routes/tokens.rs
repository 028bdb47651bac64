//! Tokens: listed, added, issued, minted and allowed; and balances.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{
    U256,
    api_key::Scope,
    token::{NATIVE_TOKEN, TokenInfo, TokenKind},
};
use dm_services::NewToken;
use serde::{Deserialize, Serialize};

use super::order_answer::{Nothing, contract, order_answer};
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody, address_param, allowed_recipient,
        fields::{self, Field},
        idempotency_key, party_param, query,
    },
    route_info::Access,
    state::State,
};

/// Decimal places of a token that is issued without saying.
const DEFAULT_DECIMALS: u8 = 18;

pub(super) fn add(router: &mut Router) {
    router.add(
        Endpoint::at("/tokens")
            .on(Method::GET, Access::Needs(Scope::Read), tokens)
            .on(Method::POST, Access::Needs(Scope::Admin), add_token),
    );
    router.add(Endpoint::at("/tokens/issue").on(Method::POST, Access::Needs(Scope::Admin), issue));
    router.add(Endpoint::at("/tokens/{address}/refresh").on(
        Method::POST,
        Access::Needs(Scope::Admin),
        refresh,
    ));
    router.add(Endpoint::at("/tokens/{address}/mint").on(Method::POST, Access::Needs(Scope::Admin), mint));
    router.add(Endpoint::at("/tokens/{address}/approve").on(
        Method::POST,
        Access::Needs(Scope::Admin),
        approve,
    ));
    router.add(Endpoint::at("/account").on(Method::GET, Access::Needs(Scope::Read), account));
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
struct AddRequest<'a> {
    #[serde(borrow)]
    address: Field<'a>,
    #[serde(borrow)]
    abi: Field<'a>,
}

/// A token as the node keeps it from now on.
#[derive(Serialize)]
struct KeptAnswer {
    success: bool,
    #[serde(flatten)]
    token: TokenLine,
}

async fn add_token(body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: AddRequest<'_> = body.parse()?;
    let address = fields::address("address", asked.address)?;
    let abi = asked
        .abi
        .filter(|_| fields::is_given(asked.abi))
        .map(|abi| abi.get().to_owned());
    let tokens = state.services.tokens.clone();
    let adding = async move { tokens.add(address, abi.as_deref()).await };
    let token = state.complete(adding).await?;
    Ok(HttpResponse::Created().json(KeptAnswer {
        success: true,
        token: token.into(),
    }))
}

/// The token is asked again what it is.
async fn refresh(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let address = address_param("address", request.match_info().query("address"))?;
    let tokens = state.services.tokens.clone();
    let refreshing = async move { tokens.refresh(address).await };
    let token = state.complete(refreshing).await?;
    Ok(HttpResponse::Ok().json(KeptAnswer {
        success: true,
        token: token.into(),
    }))
}

#[derive(Deserialize)]
struct IssueRequest<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    symbol: Field<'a>,
    #[serde(borrow)]
    decimals: Field<'a>,
    #[serde(borrow)]
    initial_supply: Field<'a>,
}

#[derive(Serialize)]
struct IssuedToken {
    /// Once it is deployed.
    address: Option<String>,
}

async fn issue(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: IssueRequest<'_> = body.parse()?;
    let decimals = fields::value("decimals", asked.decimals, "must be a number from 0 to 255")?;
    let token = NewToken {
        name: fields::text("name", asked.name)?.unwrap_or_default(),
        symbol: fields::text("symbol", asked.symbol)?.unwrap_or_default(),
        decimals: decimals.unwrap_or(DEFAULT_DECIMALS),
        initial_supply: supply(asked.initial_supply)?,
    };
    let key = idempotency_key(&request)?;
    let record = state.run(state.services.tokens.issue(token, key)).await?;
    let issued = IssuedToken {
        address: contract(&record.state).map(|address| address.to_string()),
    };
    order_answer(&record, HttpResponse::Created(), &issued)
}

/// A token may begin with nothing.
fn supply(field: Field<'_>) -> Result<U256, ApiError> {
    match fields::is_given(field) {
        true => fields::amount_or_nothing("initial_supply", field),
        false => Ok(U256::ZERO),
    }
}

#[derive(Deserialize)]
struct MintRequest<'a> {
    #[serde(borrow)]
    to: Field<'a>,
    #[serde(borrow)]
    amount: Field<'a>,
}

async fn mint(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let token = address_param("address", request.match_info().query("address"))?;
    let asked: MintRequest<'_> = body.parse()?;
    let to = state.address("to", fields::party("to", asked.to)?).await?;
    let to = allowed_recipient(&request, "to", to)?;
    let amount = fields::amount("amount", asked.amount)?;
    let key = idempotency_key(&request)?;
    let record = state
        .run(state.services.tokens.mint(token, to, amount, key))
        .await?;
    order_answer(&record, HttpResponse::Ok(), &Nothing {})
}

#[derive(Deserialize)]
struct ApproveRequest<'a> {
    #[serde(borrow)]
    spender: Field<'a>,
    #[serde(borrow)]
    amount: Field<'a>,
}

async fn approve(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let token = address_param("address", request.match_info().query("address"))?;
    let asked: ApproveRequest<'_> = body.parse()?;
    let spender = state
        .address("spender", fields::party("spender", asked.spender)?)
        .await?;
    let spender = allowed_recipient(&request, "spender", spender)?;
    let amount = fields::amount_or_nothing("amount", asked.amount)?;
    let key = idempotency_key(&request)?;
    let record = state
        .run(state.services.tokens.approve(token, spender, amount, key))
        .await?;
    order_answer(&record, HttpResponse::Ok(), &Nothing {})
}

#[derive(Serialize)]
struct AccountAnswer {
    /// To which the log, the objects and the grants belong.
    address: String,
    /// That anchors, pays and is paid.
    operator: String,
}

/// The account that this node acts for, and the one that it acts as on the chain.
async fn account(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(AccountAnswer {
        address: state.services.data.address().to_string(),
        operator: state.services.tokens.operator().to_string(),
    })
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
    let account = party_param("address", request.match_info().query("address"))?;
    let account = state.address("address", account).await?;
    let BalanceQuery { token } = query(&request)?;
    let token = token.map_or(Ok(NATIVE_TOKEN), |text| address_param("token", &text))?;
    let balance = state.run(state.services.tokens.balance(account, token)).await?;
    Ok(HttpResponse::Ok().json(BalanceAnswer {
        address: account.to_string(),
        balance: balance.to_string(),
        token: token.to_string(),
    }))
}
